"""``pulsarray estimate``: what a network would cost, from compiler and timing model alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pulsarray.api.compiled import estimate_program
from pulsarray.api.network import compile_source
from pulsarray.cli.options import (
    BatchOption,
    CalibrateOption,
    ConfigOption,
    EffortOption,
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
    effort: EffortOption = None,
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
            effort=effort,
        )
    times = {"memory_latency": memory_latency, "memory_interval": memory_interval}
    data = estimate_program(program, times, working)
    if report is not None:
        data.save(report)
    if as_json:
        print_json(data.to_dict())
    else:
        show(data)
