"""The system on chip of ``soc.v``, built from a configuration and its programs, and run."""

from __future__ import annotations

import importlib.util
import os
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pulsarray.errors import CheckFailed, ToolMissing
from pulsarray.files import cache_folder
from pulsarray.handoff.folder import hand_off
from pulsarray.handoff.images import c_source, hex_words
from pulsarray.program import Program
from pulsarray.sim import builds, toolchain, verilator
from pulsarray.sim.tools import TOOLS

__all__ = ["MEMORY_BYTES", "System", "build", "require_tools"]

Bytes = npt.NDArray[np.uint8]

MEMORY_BYTES = 1 << 20
"""Of the system's memory."""

_HERE = Path(__file__).parent


def require_tools(simulator: str = "verilator") -> None:
    """Check that there is what the system is made and simulated with.

    Raises
    ------
    ToolMissing
        If something is not installed or does not work; the text says how to get it.
    """
    toolchain.require(simulator)
    for tool in TOOLS:
        if tool.name.startswith("riscv64") and not tool.version():
            raise ToolMissing(f"soc-demo: {tool.complaint()}")
    _picorv32()


def _picorv32() -> Path:
    specification = importlib.util.find_spec("pythondata_cpu_picorv32")
    if specification is None or specification.origin is None:
        package = "pythondata-cpu-picorv32"
        raise ToolMissing(f"soc-demo: {package} is missing; get it with: pip install {package}")
    return Path(specification.origin).parent / "verilog" / "picorv32.v"


@dataclass(frozen=True)
class System:
    """A system that is built.

    Parameters
    ----------
    folder
        Where it was built, and where copies of its memory go.
    simulator
        ``"icarus"`` or ``"verilator"``.
    """

    folder: Path
    simulator: str

    def run(self) -> Iterator[str]:
        """The lines that the firmware prints, as it prints them.

        Raises
        ------
        CheckFailed
            If the simulation does not end well.
        """
        command = {"icarus": ["vvp", "icarus/soc"], "verilator": ["verilator/soc"]}
        line = [*command[self.simulator], "+firmware=firmware.hex", "+memories=memory"]
        with subprocess.Popen(line, cwd=self.folder, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for text in process.stdout:
                if text.startswith("FAIL"):
                    raise CheckFailed(f"soc-demo: {text.strip()}")
                yield text.strip()
        if process.returncode != 0:
            raise CheckFailed(f"soc-demo: the simulation ended with code {process.returncode}")

    def memory(self, number: int) -> Bytes:
        """A copy of memory that the firmware asked for."""
        lines = (self.folder / f"memory{number}.hex").read_text(encoding="ascii").splitlines()
        words = [bytes.fromhex(line)[::-1] for line in lines if not line.startswith("//")]
        return np.frombuffer(b"".join(words), np.uint8)


def build(
    programs: Mapping[str, Program],
    folder: Path,
    *,
    firmware: Path = _HERE / "firmware.c",
    data: str = "",
    simulator: str = "verilator",
) -> System:
    """Build a system with firmware for some programs.

    Parameters
    ----------
    programs
        What the machine can run, by names in C, for one configuration. The first one's memory image
        is in the firmware; the others use the same.
    folder
        For everything that is made.
    firmware, data
        The firmware, and C text of what it works on.
    simulator
        ``"icarus"`` or ``"verilator"``.

    Raises
    ------
    ToolMissing
        As :func:`require_tools`.
    CheckFailed
        If a compiler fails.
    """
    require_tools(simulator)
    first = next(iter(programs.values()))
    verilog = builds.verilog(first.config).read_text(encoding="ascii")
    for name, contents in hand_off(first.config, verilog, first).items():
        _write(folder / "machine" / name, contents)
    sources = {"data": data}
    for name, program in programs.items():
        memory = program.memory if program is first else np.zeros_like(program.memory)
        sources[name] = c_source(program, memory, name)
    paths = {folder / "programs" / f"{name}.c": text for name, text in sources.items()}
    for path, text in paths.items():
        _write(path, text.encode())
    _make(first, folder, [firmware, *paths], simulator)
    image = np.zeros(MEMORY_BYTES, np.uint8)
    code = np.frombuffer((folder / "firmware.bin").read_bytes(), np.uint8)
    image[: code.size] = code
    _write(folder / "firmware.hex", hex_words(image, first.config.bus_bytes))
    return System(folder, simulator)


def _write(path: Path, data: bytes) -> None:
    """Write a file unless it is so already, for make's sake."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.is_file() or path.read_bytes() != data:
        path.write_bytes(data)


def _make(program: Program, folder: Path, sources: list[Path], simulator: str) -> None:
    root = verilator.private_root(cache_folder(), version("verilator"))
    settings = {
        "BUILD": folder,
        "MACHINE": folder / "machine",
        "PICORV32": _picorv32(),
        "VERILATOR": f"{root}/bin/verilator_bin",
        "SOURCES": " ".join(map(str, sources)),
        "BUS_BITS": program.config.bus_bits,
        "MEMORY_BITS": MEMORY_BYTES.bit_length() - 1,
        "BUFFER_BYTES": program.memory.size,
    }
    line = [
        "make",
        "-f",
        str(_HERE / "Makefile"),
        simulator,
        *(f"{k}={v}" for k, v in settings.items()),
    ]
    environment = {**os.environ, "VERILATOR_ROOT": str(root), "MAKEFLAGS": ""}
    done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise CheckFailed(f"soc-demo: cannot build:\n{(done.stdout + done.stderr)[-2000:]}")
