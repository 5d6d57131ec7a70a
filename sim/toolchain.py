"""Simulators: which there are, building a design, running cocotb tests on it, and lint."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from filelock import FileLock

from pulsarray.errors import CheckFailed, InputError, ToolMissing, did_you_mean
from pulsarray.files import cache_folder, write_atomically
from pulsarray.sim import verilator
from pulsarray.sim.tools import FST, TOOLS, Tool, libpython

__all__ = [
    "SIMULATORS",
    "WAVE_FORMATS",
    "build",
    "failed",
    "lint",
    "require",
    "require_name",
    "run",
    "start",
    "wave_format",
]

SIMULATORS = ("icarus", "verilator")
"""Names of the simulators."""

WAVE_FORMATS = ("fst", "vcd")
"""Formats of wave files, each the suffix of its files."""

_LOG_LINES = 30
_LITTLE_BYTES = 1 << 16
_DUMP = """\
module pulsarray_dump;
  string path;
  initial if ($value$plusargs("dumpfile_path=%s", path)) begin
    $dumpfile(path);
    $dumpvars(0, {top});
  end
endmodule
"""


@dataclass(frozen=True)
class _Design:
    """What :func:`build` was asked for."""

    sources: list[Path]
    top: str
    parameters: dict[str, int]
    public: dict[str, list[str]]
    waves: str

    def digest(self, simulator: str) -> str:
        """SHA-256 over everything that decides what a build yields."""
        recipe = dataclasses.asdict(self)
        recipe["sources"] = [hashlib.sha256(p.read_bytes()).hexdigest() for p in self.sources]
        recipe["simulator"] = [simulator, _version(simulator)]
        recipe["cocotb"] = importlib.metadata.version("cocotb")
        recipe["make"] = verilator.MAKE_SETTINGS
        return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()


def require_name(simulator: str) -> None:
    """Check the name of a simulator.

    Raises
    ------
    InputError
        If there is none of that name.
    """
    if simulator not in SIMULATORS:
        raise InputError(
            f"simulator must be one of {', '.join(SIMULATORS)}, not {simulator!r}"
            f"{did_you_mean(simulator, SIMULATORS)}"
        )


def require(simulator: str) -> None:
    """Check that a simulator can be used, by using what it needs; takes up to a second.

    Raises
    ------
    ToolMissing
        If something is not installed or does not work; the text says how to get it.
    """
    _require_tools(simulator, (tool for tool in TOOLS if simulator in tool.simulators))


def _require_tools(simulator: str, tools: Iterable[Tool], more: str = "") -> None:
    for tool in tools:
        if not tool.version():
            raise ToolMissing(f"{simulator}: {tool.complaint()}{more}")


def _require_fst() -> None:
    """Verilator compiles its FST writer, which needs two libraries."""
    tools = (tool for tool in TOOLS if tool.needed_for is FST)
    _require_tools("verilator", tools, "; or ask for a .vcd file")


def _version(simulator: str) -> str | None:
    if simulator == "icarus":
        try:
            output = subprocess.run(["iverilog", "-V"], capture_output=True, text=True, check=False)
        except OSError:
            return None
        return output.stdout.partition("\n")[0]
    try:
        return importlib.metadata.version("verilator")
    except importlib.metadata.PackageNotFoundError:
        return None


def build(
    simulator: str,
    sources: Sequence[Path],
    top: str,
    build_dir: Path,
    *,
    parameters: Mapping[str, int] = {},
    public: Mapping[str, Sequence[str]] = {},
    waves: str = "",
) -> None:
    """Compile a design for :func:`run`, unless the folder holds this very build already.

    Parameters
    ----------
    simulator, sources, top, build_dir
        What to build from which Verilog files, and where; the folder's contents are replaced.
    parameters
        Integer parameters of the top module.
    public
        By module, the signals that cocotb can see under Verilator (Icarus shows all); every
        port of the top must be named.
    waves
        Make waves of this format possible; none with an empty string.

    Raises
    ------
    ToolMissing
        If the simulator is not installed, or what it needs for the waves.
    CheckFailed
        If the simulator refuses the sources; the text ends with what it said.
    """
    require_name(simulator)
    build_dir = build_dir.resolve()
    design = _Design(
        sources=[path.resolve() for path in sources],
        top=top,
        parameters=dict(parameters),
        public={module: list(names) for module, names in public.items()},
        waves=waves,
    )
    stamp, wanted = build_dir / "stamp", design.digest(simulator)
    build_dir.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(build_dir.with_name(build_dir.name + ".lock")):
        if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
            return
        require(simulator)
        if simulator == "verilator" and waves == "fst":
            _require_fst()
        shutil.rmtree(build_dir, ignore_errors=True)
        build_dir.mkdir(parents=True)
        compile_ = _build_icarus if simulator == "icarus" else _build_verilator
        log = build_dir / "build.log"
        if compile_(design, build_dir, log):
            raise failed(f"{simulator}: {top} does not build", log)
        write_atomically(stamp, wanted.encode())


def _build_icarus(design: _Design, build_dir: Path, log: Path) -> int:
    options = build_dir / "options.f"
    options.write_text("+timescale+1ns/1ps\n", encoding="utf-8")
    tops, files = ["-s", design.top], [*design.sources]
    if design.waves:
        dump = build_dir / "dump.v"
        dump.write_text(_DUMP.format(top=design.top), encoding="utf-8")
        tops += ["-s", "pulsarray_dump"]
        files.append(dump)
    values = [f"-P{design.top}.{name}={value}" for name, value in design.parameters.items()]
    line = ["iverilog", "-g2012", "-o", str(build_dir / "sim.vvp"), "-f", str(options)]
    with log.open("w", encoding="utf-8") as output:
        return subprocess.run(
            [*line, *tops, *values, *map(str, files)], stdout=output, stderr=output, check=False
        ).returncode


def _build_verilator(design: _Design, build_dir: Path, log: Path) -> int:
    visible = build_dir / "public.vlt"
    verilator.write_visibility(visible, design.public)
    return verilator.make_model(
        _verilator_root(),
        [visible, *design.sources],
        design.top,
        build_dir,
        parameters=design.parameters,
        waves=design.waves,
        log=log,
    )


def _verilator_root() -> Path:
    cache = cache_folder()
    try:
        return verilator.private_root(cache, _version("verilator") or "")
    except OSError as error:
        if error.filename or error.errno is None:  # it says which file; of many, it has no number
            raise
        raise InputError(f"{cache}: cannot write: {error.strerror}") from None


def failed(what: str, log: Path) -> CheckFailed | InputError:
    """What to raise: the error with the end of the log, or, if that is why, a full device."""
    text = _last_lines(log)
    if "No space left on device" in text or shutil.disk_usage(log.parent).free < _LITTLE_BYTES:
        return InputError(f"{log.parent}: no space left on the device ({what})")
    return CheckFailed(f"{what}; the log ends with:\n{text}")


def _last_lines(log: Path) -> str:
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_LINES:])


def run(
    simulator: str,
    top: str,
    build_dir: Path,
    test_module: str,
    *,
    env: Mapping[str, str] = {},
    plusargs: Sequence[str] = (),
    python_path: Sequence[Path] = (),
    waves: Path | None = None,
    log: Path | None = None,
) -> None:
    """Run the cocotb tests of a module on what :func:`build` left.

    Parameters
    ----------
    simulator, top, build_dir
        As given to :func:`build`.
    test_module
        Python module with the cocotb tests, found on this process's path or on ``python_path``.
    env, plusargs
        More environment variables, and ``+name=value`` arguments.
    waves
        File for the waves; its suffix is the format that the build was made for.
    log
        File for everything the simulator prints.

    Raises
    ------
    InputError
        If the suffix of ``waves`` is not of :data:`WAVE_FORMATS`.
    CheckFailed
        If a test fails, or the simulator does; the text ends with what it said.
    """
    if waves is not None:
        wave_format(waves)
    line = _command(simulator, top, build_dir.resolve(), plusargs, waves)
    with tempfile.TemporaryDirectory(prefix="pulsarray-") as name:
        folder = Path(name)
        results, output = folder / "results.xml", log or folder / "log"
        variables = _environment(simulator, top, test_module, python_path)
        variables.update(env, COCOTB_RESULTS_FILE=str(results))
        with output.open("w", encoding="utf-8") as stream:
            code = subprocess.run(
                line, cwd=folder, env=variables, stdout=stream, stderr=stream, check=False
            ).returncode
        if code or not _passed(results):
            raise failed(f"{simulator}: {test_module} failed", output)


def start(
    simulator: str,
    top: str,
    build_dir: Path,
    test_module: str,
    folder: Path,
    *,
    plusargs: Sequence[str] = (),
    handles: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start the cocotb tests of a module as :func:`run` does, and leave them running.

    The process does not get the interrupts of this process's terminal; who starts it ends it.

    Parameters
    ----------
    simulator, top, build_dir, test_module, plusargs
        As for :func:`run`.
    folder
        Where it runs; ``log`` in it gets everything that the simulator prints, and the outcome of
        the tests is nowhere else.
    handles
        File descriptors of this process that it inherits.
    """
    variables = _environment(simulator, top, test_module, ())
    with (folder / "log").open("wb") as stream:
        return subprocess.Popen(
            _command(simulator, top, build_dir.resolve(), plusargs, None),
            cwd=folder,
            env={**variables, "COCOTB_RESULTS_FILE": os.devnull},
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            pass_fds=handles,
            start_new_session=True,
        )


def wave_format(path: Path) -> str:
    """The format that a file's suffix asks for.

    Raises
    ------
    InputError
        If it is not one of :data:`WAVE_FORMATS`.
    """
    suffix = path.suffix.removeprefix(".")
    if suffix not in WAVE_FORMATS:
        known = " or ".join(f".{name}" for name in WAVE_FORMATS)
        raise InputError(f"waves: the file must end in {known}, not {path.name!r}")
    return suffix


def _command(
    simulator: str, top: str, build_dir: Path, plusargs: Sequence[str], waves: Path | None
) -> list[str]:
    if simulator == "icarus":
        return _icarus_command(build_dir, plusargs, waves)
    return _verilator_command(build_dir / top, plusargs, waves)


def _icarus_command(build_dir: Path, plusargs: Sequence[str], waves: Path | None) -> list[str]:
    dump = ["-none"]
    if waves is not None:
        dump = [f"-{wave_format(waves)}", f"+dumpfile_path={waves.resolve()}"]
    if shutil.which("vvp") is None:
        require("icarus")
    from cocotb_tools import config as cocotb_config

    library = cocotb_config.lib_entry("vpi", "icarus")
    return ["vvp", "-m", library, str(build_dir / "sim.vvp"), *dump, *plusargs]


def _verilator_command(program: Path, plusargs: Sequence[str], waves: Path | None) -> list[str]:
    dump = [] if waves is None else ["--trace", "--trace-file", str(waves.resolve())]
    return [str(program), *dump, *plusargs]


def _environment(
    simulator: str, top: str, test_module: str, python_path: Sequence[Path]
) -> dict[str, str]:
    """What cocotb's libraries read when a simulator loads them."""
    from cocotb_tools import config as cocotb_config

    if not libpython():
        require(simulator)
    return {
        **os.environ,
        "LD_LIBRARY_PATH": verilator.library_path(),
        "PYTHONPATH": os.pathsep.join([*(str(path.resolve()) for path in python_path), *sys.path]),
        "PYGPI_PYTHON_BIN": sys.executable,
        "GPI_USERS": f"{libpython()};{cocotb_config.pygpi_entry_point()}",
        "TOPLEVEL_LANG": "verilog",
        "COCOTB_TOPLEVEL": top,
        "COCOTB_TEST_MODULES": test_module,
        "COCOTB_TRUST_INERTIAL_WRITES": str(int(simulator == "verilator")),
    }


def _passed(results: Path) -> bool:
    from cocotb_tools.check_results import get_results

    try:
        tests, failures = get_results(results)
    except (RuntimeError, ElementTree.ParseError):
        return False
    return tests > 0 and failures == 0


def lint(sources: Sequence[Path], top: str) -> list[str]:
    """Every warning and error of Verilator's ``-Wall`` that the sources do not waive.

    Raises
    ------
    ToolMissing
        If Verilator is not installed.
    """
    _require_tools("verilator", (tool for tool in TOOLS if tool.name == "verilator"))
    root = _verilator_root()
    result = subprocess.run(
        [
            *(*verilator.command(root), "--lint-only", "-Wall"),
            *("--top-module", top, *map(str, sources)),
        ],
        env=verilator.environment(root),
        capture_output=True,
        text=True,
        check=False,
    )
    messages = [line for line in result.stderr.splitlines() if line.startswith("%")]
    messages = [line for line in messages if not line.startswith("%Error: Exiting due to")]
    if result.returncode and not messages:
        messages = [f"%Error: verilator ended with code {result.returncode}"]
    return messages
