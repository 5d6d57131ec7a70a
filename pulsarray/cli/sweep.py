"""``pulsarray sweep``: many designs, each with its exact cost."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pulsarray.api.sweeps.run import EFFORT, sweep_space
from pulsarray.api.sweeps.space import Space
from pulsarray.api.sweeps.values import numbers, settings_of, sizes_of
from pulsarray.cli.options import CalibrateOption, EnergyTableOption, JsonOption
from pulsarray.cli.output import print_json, require_writable, show, working
from pulsarray.config import DEFAULT_CONFIG
from pulsarray.display.plotly_page import charts

__all__ = ["sweep"]


def sweep(
    networks: Annotated[
        list[str],
        typer.Argument(
            metavar="NETWORK...",
            help="Networks as for estimate; gemm:MxKxN with lists or ranges as sizes; a .csv of "
            "layers as SCALE-Sim takes it.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Keep a row a point, as .csv or .parquet; points that it has are not made again.",
        ),
    ] = None,
    config: Annotated[
        list[str] | None,
        typer.Option(
            "--config",
            "-c",
            metavar="PRESET|FILE",
            help=f"Machine to start from; may be repeated; {DEFAULT_CONFIG} if not given.",
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUES",
            help="Values of a parameter: 8,16,32 or 8..64*2 or 1024..4096+1024; may be repeated "
            "with other parameters. bus_bits follows dim unless it is set.",
        ),
    ] = None,
    batch: Annotated[
        str, typer.Option("--batch", "-b", metavar="VALUES", help="Samples of a run.")
    ] = "1",
    memory_latency: Annotated[
        str,
        typer.Option(
            "--memory-latency", metavar="VALUES", help="Cycles from an address to its first beat."
        ),
    ] = "64",
    memory_interval: Annotated[
        str, typer.Option("--memory-interval", metavar="VALUES", help="Cycles a beat.")
    ] = "1",
    effort: Annotated[
        int,
        typer.Option(
            "--effort",
            min=0,
            help="Instructions that the search for a fast program may look at; 32000 is what "
            "estimate spends.",
        ),
    ] = EFFORT,
    layers: Annotated[
        bool,
        typer.Option(
            "--layers",
            help="Compile each product of a network alone, and sum up: quick, and without what "
            "lies between them.",
        ),
    ] = False,
    calibrate: CalibrateOption = None,
    energy_table: EnergyTableOption = None,
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="Write a page with charts, its script beside."),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option("--workers", min=1, help="Processes; one a processor if not given."),
    ] = None,
    dask: Annotated[
        str | None,
        typer.Option("--dask", metavar="ADDRESS", help="Use the workers of a Dask scheduler."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="More than 100,000 points are meant.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Compile and time every combination of networks, machines and memories, exactly.

    For example:

      pulsarray sweep resnet8 --config base --set dim=8,16,32 --set scratchpad_depth=1024..4096*2

      pulsarray sweep gemm:64..512*2x256x64,256 --set dim=8,16 -o products.csv --html products.html

      pulsarray sweep resnet50 --layers -c base --set dim=8,16,32 --memory-latency 32,128 -o r.csv
    """
    require_writable(output, html, read=[*networks, calibrate, *(config or ())])
    if html is not None:
        charts()  # what a page lacks is said before the work, not after it
    space = Space(
        works=[size for text in networks for size in sizes_of(text)],
        machines=config or [DEFAULT_CONFIG],
        settings=settings_of(settings or ()),
        batches=numbers(batch, "--batch"),
        latencies=numbers(memory_latency, "--memory-latency"),
        intervals=numbers(memory_interval, "--memory-interval"),
    )
    swept = sweep_space(
        space,
        effort=effort,
        by_layer=layers,
        calibrate=calibrate,
        energy_table=energy_table,
        file=output,
        workers=workers,
        dask=dask,
        allow_many=yes,
        working=working,
    )
    if html is not None:
        with working("drawing charts"):
            swept.save_page(html)
    if as_json:
        print_json(swept.to_list())
    else:
        show(swept)
