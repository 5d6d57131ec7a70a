"""``pulsarray generate``: the machine's Verilog, and what a driver must know."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any

import typer

from pulsarray import __version__
from pulsarray.cli.options import ConfigOption, JsonOption, SetOption, chosen_config
from pulsarray.cli.output import facts, make_folder, print_json, show, working
from pulsarray.config import Config
from pulsarray.errors import InputError
from pulsarray.files import write_together
from pulsarray.registers import COUNTERS, INTERFACE_VERSION, REGISTERS, ErrorCode, counter_address

__all__ = ["generate", "register_map"]


def generate(
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Folder, created if missing.")
    ],
    config: ConfigOption = None,
    overrides: SetOption = None,
    plain: Annotated[
        bool, typer.Option("--plain", help="Leave the Verilog as Yosys writes it.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Write the machine's Verilog, configuration, register map and manifest into a folder.

    For example:

      pulsarray generate --config small -o build/small

      pulsarray generate --config base --set dim=12 --set bus_bits=64 -o build/d12

    Modules and registers are rewritten to be read; --plain leaves that out. Both texts are proven
    equal (make equivalence).
    """
    machine = chosen_config(config, overrides)
    if output.exists() and not output.is_dir():
        raise InputError(f"{output}: is a file, not a folder")
    make_folder(output)
    from pulsarray.hw.emit import generate as emit

    with working(f"generating Verilog for D = {machine.dim}"):
        verilog = emit(machine, plain=plain)
    files = {
        "pulsarray.v": verilog,
        "pulsarray.toml": machine.to_toml(),
        "registers.json": json.dumps(register_map(), indent=2) + "\n",
    }
    manifest = _manifest(machine, files)
    written = {**files, "manifest.json": json.dumps(manifest, indent=2) + "\n"}
    write_together({output / name: text.encode() for name, text in written.items()})
    if as_json:
        print_json(manifest)
        return
    lines = {name: entry["lines"] for name, entry in manifest["files"].items()}
    show(facts({"folder": output, "top module": "pulsarray", **lines}))


def _manifest(config: Config, files: dict[str, str]) -> dict[str, Any]:
    return {
        "generator": f"pulsarray {__version__}",
        "top": "pulsarray",
        "fingerprint": config.fingerprint,
        "files": {
            name: {
                "lines": text.count("\n"),
                "bytes": len(text.encode()),
                "sha256": hashlib.sha256(text.encode()).hexdigest(),
            }
            for name, text in files.items()
        },
    }


def register_map() -> dict[str, Any]:
    """Every register and counter with its byte address, and the error codes."""
    return {
        "interface_version": INTERFACE_VERSION,
        "registers": [
            {
                "name": register.name,
                "address": register.address,
                "writable": register.writable,
                "description": register.doc,
            }
            for register in REGISTERS
        ],
        "counters": {name: counter_address(name) for name in COUNTERS},
        "errors": {code.name: int(code) for code in ErrorCode},
    }
