"""The folder of ``pulsarray generate``: everything that is needed to build and to try a machine."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.resources import files
from typing import Any

from pulsarray import __version__
from pulsarray.config import Config
from pulsarray.handoff.bench import bench_files
from pulsarray.handoff.interface import Interface
from pulsarray.handoff.macros import Macro, models
from pulsarray.handoff.registers import c_header, peakrdl_files, register_map, system_rdl
from pulsarray.handoff.text import rendered
from pulsarray.handoff.wrapper import wrapper
from pulsarray.hw.ports import machine_ports
from pulsarray.program import Program
from pulsarray.registers import (
    COUNTER_BASE,
    COUNTERS,
    REGISTERS,
    Control,
    ErrorCode,
    Status,
    counter_address,
    counters_of,
)

__all__ = ["CLOCK_MHZ", "hand_off", "manifest"]

CLOCK_MHZ = 50
"""Clock that the constraint files ask for; a designer puts another one there."""

_DRIVER = ("pulsarray.h", "pulsarray.c")
_SIMULATION = ("top.v", "memory.v", "axi_checker.v")


def hand_off(
    config: Config,
    verilog: str,
    program: Program,
    interface: Interface | None = None,
    macros: Sequence[Macro] = (),
) -> dict[str, bytes]:
    """Files by name, ``manifest.json`` not among them.

    Parameters
    ----------
    config, verilog
        The machine and its Verilog.
    program
        A program for it, with which the testbench tries it.
    interface
        Options of ``pulsarray_axi``; None for the usual ones.
    macros
        Memory macros that the Verilog has in it; their models are among the files.

    Raises
    ------
    ProgramError
        If the program stops with an error.
    """
    rdl, interface = system_rdl(config), interface or Interface()
    sources, drivers = files("pulsarray.sim"), files("pulsarray.driver").joinpath("c")
    return {
        "pulsarray.v": verilog.encode(),
        "pulsarray.toml": config.to_toml().encode(),
        "registers.json": f"{json.dumps(register_map(), indent=2)}\n".encode(),
        "pulsarray_axi.v": wrapper(config, interface).encode(),
        **_texts(config, program, interface, bool(macros)),
        "registers/pulsarray.rdl": rdl.encode(),
        "registers/pulsarray_registers.h": c_header(config).encode(),
        **{f"registers/{name}": data for name, data in peakrdl_files(rdl).items()},
        **{f"driver/{name}": drivers.joinpath(name).read_bytes() for name in _DRIVER},
        **{f"sim/{name}": sources.joinpath(name).read_bytes() for name in _SIMULATION},
        **({"sim/macros.v": models(macros).encode()} if macros else {}),
        **{f"sim/program/{name}": data for name, data in bench_files(program).items()},
    }


def manifest(config: Config, contents: Mapping[str, bytes]) -> dict[str, Any]:
    """What ``manifest.json`` says: lines, bytes and SHA-256 of every file."""
    return {
        "generator": f"pulsarray {__version__}",
        "top": "pulsarray",
        "fingerprint": config.fingerprint,
        "files": {
            name: {
                "lines": data.count(b"\n"),
                "bytes": len(data),
                "sha256": hashlib.sha256(data).hexdigest(),
            }
            for name, data in contents.items()
        },
    }


def _texts(
    config: Config, program: Program, interface: Interface, macros: bool
) -> dict[str, bytes]:
    """The files that are made from templates, whose names they bear."""
    values = {
        "config": config,
        "parameters": config.to_dict(),
        "program": program,
        "ports": machine_ports(config, interface.address_bits),
        "interface": interface,
        "interface_values": asdict(interface),
        "registers": REGISTERS,
        "counters": COUNTERS,
        "counter_rows": [(name, counter_address(name)) for name in counters_of(config)],
        "counter_base": COUNTER_BASE,
        "errors": ErrorCode,
        "start": int(Control.START),
        "error": int(Status.ERROR),
        "mhz": CLOCK_MHZ,
        "simulation": (*_SIMULATION, *(["macros.v"] if macros else [])),
        "macros": macros,
        "version": __version__,
    }
    places = {
        "README.md": "README.md",
        "Makefile": "Makefile",
        "pulsarray.f": "pulsarray.f",
        "pulsarray.core": "pulsarray.core",
        "sim/testbench.v": "testbench.v",
        "constraints/pulsarray.lpf": "pulsarray.lpf",
        "constraints/pulsarray.xdc": "pulsarray.xdc",
        "vivado/package_ip.tcl": "package_ip.tcl",
    }
    return {place: rendered(name, **values).encode() for place, name in places.items()}
