"""``pulsarray synth``: what the machine takes on a device, and how fast it is there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from pulsarray.cli.options import ConfigOption, JsonOption, SetOption, chosen_config
from pulsarray.cli.output import make_folder, print_json, require_writable, show, working
from pulsarray.display.synthesis import synthesis_html, synthesis_view
from pulsarray.errors import CheckFailed, InputError
from pulsarray.files import write_atomically
from pulsarray.synth.fit import misfit
from pulsarray.synth.place import MHZ, Placement
from pulsarray.synth.run import TOP, Wanted, synthesize
from pulsarray.synth.targets import TARGETS

__all__ = ["synth"]


def synth(
    target: Annotated[
        str, typer.Option("--target", "-t", metavar="|".join(TARGETS), help="What to map to.")
    ],
    config: ConfigOption = None,
    overrides: SetOption = None,
    place: Annotated[
        bool, typer.Option("--place", help="Place and route too (ecp5, ice40): Fmax and its path.")
    ] = False,
    no_route: Annotated[
        bool, typer.Option("--no-route", help="With --place: estimate Fmax after placement.")
    ] = False,
    mhz: Annotated[
        float | None,
        typer.Option("--mhz", min=1.0, help="Clock to aim at; 80 if not given."),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option("--seed", min=1, help="With --place: seed of the placement; 1 if not given."),
    ] = None,
    flat: Annotated[
        bool,
        typer.Option(
            "--flat", help="Also as one module, optimized across units, as --place does anyway."
        ),
    ] = False,
    unit: Annotated[
        str,
        typer.Option(
            "--unit", metavar="PATH", help="Only a part (vector.datapath.lane0), or a module."
        ),
    ] = TOP,
    device: Annotated[
        str,
        typer.Option("--device", metavar="NAME", help="Exit 1 if it does not fit this device."),
    ] = "",
    liberty: Annotated[
        Path | None, typer.Option("--liberty", metavar="FILE", help="gates: a library to map to.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option("--report", metavar="FILE", help="Write the report as JSON.")
    ] = None,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write the report as a page.")
    ] = None,
    keep: Annotated[
        Path | None,
        typer.Option("--keep", metavar="DIR", help="Keep scripts, netlists and logs there."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Synthesize the machine: logic, memories and multipliers by unit, and the clock.

    For example:

      pulsarray synth --config tiny --target ecp5 --report tiny.json

      pulsarray synth --config tiny --target ecp5 --unit store --place

      pulsarray synth --config base --target gates
    """
    from pulsarray.hw.emit import generate

    require_writable(report, html, read=[config, liberty])
    wanted = Wanted(
        config=chosen_config(config, overrides),
        target=target,
        device=device,
        part=unit,
        liberty=liberty,
        flat=flat,
        placement=_placement(place, no_route, seed),
        folder=keep,
        mhz=mhz or MHZ,
    )
    if keep is not None:
        make_folder(keep)
    with working(f"synthesizing {unit} for {target}") as work:
        work.note("generating Verilog")
        data = synthesize(wanted, generate(wanted.config), work.note)
    if report is not None:
        write_atomically(report, (json.dumps(data, indent=2) + "\n").encode())
    if html is not None:
        write_atomically(html, synthesis_html(data).encode())
    if as_json:
        print_json(data)
    else:
        show(synthesis_view(data))
    if reason := misfit(data):
        raise CheckFailed(f"synth: {reason}")


def _placement(place: bool, no_route: bool, seed: int | None) -> Placement | None:
    if place:
        return Placement(seed=seed or 1, route=not no_route)
    for name, is_set in (("no-route", no_route), ("seed", seed)):
        if is_set:
            raise InputError(f"--{name}: is for placing: give --place too")
    return None
