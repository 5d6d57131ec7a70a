"""``pulsarray estimate``: what a network would cost, from compiler and timing model alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from pulsarray.api.source import compile_source
from pulsarray.cli.options import (
    BatchOption,
    CalibrateOption,
    ConfigOption,
    IntervalOption,
    JsonOption,
    LatencyOption,
    NetworkArgument,
    OutputsOnlyOption,
    SeedOption,
    SetOption,
    ShapeOption,
    SumsOption,
    chosen_config,
    parsed_shape,
)
from pulsarray.cli.output import print_json, require_writable, show, working
from pulsarray.display.view import view
from pulsarray.files import write_atomically
from pulsarray.report import build_report

__all__ = ["estimate"]


def estimate(
    network: NetworkArgument,
    config: ConfigOption = None,
    overrides: SetOption = None,
    batch: BatchOption = None,
    calibrate: CalibrateOption = None,
    shape: ShapeOption = None,
    outputs_only: OutputsOnlyOption = None,
    sums: SumsOption = False,
    seed: SeedOption = None,
    memory_latency: LatencyOption = 64,
    memory_interval: IntervalOption = 1,
    report: Annotated[
        Path | None, typer.Option("--report", metavar="R.json", help="Write the report.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Compile a network and say what it costs: exact cycles, without simulating any.

    For example:

      pulsarray estimate mnist-mlp --batch 64

      pulsarray estimate gemm:512x512x512 --config base --memory-latency 100

      pulsarray estimate resnet8 --config base
    """
    machine = chosen_config(config, overrides)
    require_writable(report, read=[network, calibrate, config])
    with working(f"compiling {network}"):
        program = compile_source(
            network,
            machine,
            batch=batch,
            calibrate=calibrate,
            shape=parsed_shape(shape),
            outputs=outputs_only or (),
            sums=sums,
            seed=seed,
        )
    from pulsarray.model.timing import simulate_timing

    with working("timing"):
        result = simulate_timing(
            program, memory_latency=memory_latency, memory_interval=memory_interval
        )
    data = build_report(program, result)
    if report is not None:
        write_atomically(report, json.dumps(data, indent=2).encode() + b"\n")
    if as_json:
        print_json(data)
    else:
        show(view(data))
