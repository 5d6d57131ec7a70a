"""``pulsarray generate``: the machine's Verilog, and all that people need to build and drive it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from pulsarray.cli.options import ConfigOption, JsonOption, SetOption, chosen_config
from pulsarray.cli.output import make_folder, print_json, show, working
from pulsarray.display.facts import facts
from pulsarray.errors import InputError
from pulsarray.files import write_together
from pulsarray.program import Program

__all__ = ["generate"]

_SEED = 1
"""Of the testbench's instructions."""


def generate(
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Folder, created if missing.")
    ],
    config: ConfigOption = None,
    overrides: SetOption = None,
    plain: Annotated[
        bool, typer.Option("--plain", help="Leave the Verilog as Yosys writes it.")
    ] = False,
    program: Annotated[
        Path | None,
        typer.Option(
            "--program",
            metavar="P.pulse",
            help="What the testbench runs; instructions at random if not given.",
        ),
    ] = None,
    interface: Annotated[
        list[str] | None,
        typer.Option(
            "--interface",
            metavar="KEY=VALUE",
            help="Option of the ports, as reset=active-high, reset_style=asynchronous, "
            "address_bits=64, id_bits=4, cache, prot, qos, region; may be repeated.",
        ),
    ] = None,
    macros: Annotated[
        Path | None,
        typer.Option(
            "--macros",
            metavar="FILE.toml",
            help="Memory macros that take the place of described memories (docs/memory-macros.md).",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write a folder that stands by itself: the machine's Verilog, registers, testbench, README.

    For example:

      pulsarray generate --config small -o build/small

      pulsarray generate --config base --set dim=12 --set bus_bits=64 -o build/d12

    Modules and registers are rewritten to be read; --plain leaves that out. Both texts are proven
    equal (make equivalence).
    """
    machine = chosen_config(config, overrides)
    if output.exists() and not output.is_dir():
        raise InputError(f"{output}: is a file, not a folder")
    from pulsarray.handoff.interface import parse_interface
    from pulsarray.handoff.macros import load_macros, with_macros

    ports, srams = parse_interface(interface or []), load_macros(macros) if macros else []
    tried = None if program is None else Program.load(program, machine)
    make_folder(output)
    from pulsarray.handoff.folder import hand_off, manifest
    from pulsarray.hw.emit import generate as emit
    from pulsarray.sim.random.programs import random_program

    with working(f"generating Verilog for D = {machine.dim}"):
        verilog = emit(machine, plain=plain, address_bits=ports.address_bits)
        verilog = with_macros(verilog, srams)
        tried = tried or random_program(machine, _SEED)
        contents = hand_off(machine, verilog, tried, ports, srams)
    listed = manifest(machine, contents)
    contents["manifest.json"] = f"{json.dumps(listed, indent=2)}\n".encode()
    for folder in {(output / name).parent for name in contents}:
        make_folder(folder)
    write_together({output / name: data for name, data in contents.items()})
    if as_json:
        print_json(listed)
        return
    lines = {name: entry["lines"] for name, entry in listed["files"].items() if "/" not in name}
    show(facts({"folder": output, "top module": "pulsarray", **lines}))
