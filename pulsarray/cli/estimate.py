"""``pulsarray estimate``: what a network would cost, from compiler and timing model alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from pulsarray.api.compiled import estimate_program
from pulsarray.api.network import compile_source
from pulsarray.api.replaying import replay_program
from pulsarray.api.report import Report
from pulsarray.cli.options import (
    BatchOption,
    CalibrateOption,
    ConfigOption,
    EffortOption,
    EnergyTableOption,
    IntervalOption,
    JsonOption,
    LatencyOption,
    NetworkArgument,
    OutputsOnlyOption,
    SeedOption,
    SetInputOption,
    SetOption,
    ShapeOption,
    StateOption,
    SumsOption,
    TimelineOption,
    chosen_config,
    given_config,
    parsed_inputs,
    parsed_shape,
    parsed_states,
)
from pulsarray.cli.output import print_json, require_writable, show, working
from pulsarray.config import load_config
from pulsarray.errors import InputError
from pulsarray.program import Program

__all__ = ["estimate"]

_ANY_RATE = 0.01
"""Learning rate of a step that is only timed: cycles do not depend on it."""


def estimate(
    network: NetworkArgument,
    config: ConfigOption = None,
    overrides: SetOption = None,
    batch: BatchOption = None,
    calibrate: CalibrateOption = None,
    shape: ShapeOption = None,
    set_input: SetInputOption = None,
    outputs_only: OutputsOnlyOption = None,
    state: StateOption = None,
    sums: SumsOption = False,
    seed: SeedOption = None,
    effort: EffortOption = None,
    training: Annotated[
        bool, typer.Option("--training", help="The programs of a training step instead.")
    ] = False,
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="D.npz", help="Samples (training): x with t or labels."),
    ] = None,
    loss: Annotated[
        str | None, typer.Option("--loss", help="Loss, or LOSS:PARAMETER (training).")
    ] = None,
    memory_latency: LatencyOption = 64,
    memory_interval: IntervalOption = 1,
    report: Annotated[
        Path | None, typer.Option("--report", metavar="R.json", help="Write the report.")
    ] = None,
    timeline: TimelineOption = None,
    energy: Annotated[
        bool, typer.Option("--energy", help="Estimate the energy of a run, too.")
    ] = False,
    energy_table: EnergyTableOption = None,
    memory: Annotated[
        str | None,
        typer.Option(
            "--memory",
            metavar="NAME|M.toml",
            help="Replay the run's bursts through a DRAM, too: ddr3-1600, ddr4-2400, or a file.",
        ),
    ] = None,
    clock_mhz: Annotated[
        float, typer.Option("--clock-mhz", help="Clock of the machine, for --memory.")
    ] = 100.0,
    as_json: JsonOption = False,
) -> None:
    """Compile a network, or read a program, and say what it costs: exact cycles, nothing simulated.

    For example:

      pulsarray estimate mnist-mlp --batch 64

      pulsarray estimate gemm:512x512x512 --config base --memory-latency 100

      pulsarray estimate resnet8 --config base

      pulsarray estimate net.pulse

      pulsarray estimate mnist-mlp --memory ddr3-1600 --clock-mhz 200

      pulsarray estimate xor --training
    """
    require_writable(report, timeline, read=[network, calibrate, data, config])
    if timeline is not None:
        from pulsarray.display.timeline import require_timeline

        require_timeline(timeline)
    times = {"memory_latency": memory_latency, "memory_interval": memory_interval}
    if not training and (data is not None or loss is not None):
        raise InputError("--data, --loss: only with --training")
    if training and memory is not None:
        raise InputError("--memory: not with --training")
    if training:
        options = (calibrate, shape, set_input, outputs_only, state, sums)
        if any(options) or seed is not None or effort is not None:
            raise InputError("--training: only with --config, --set, --batch, --data and --loss")
        reports = _of_step(
            network, data, loss, batch, config, overrides or (), times, timeline, energy_table
        )
        _tell(reports, report, as_json, energy)
        return
    if Path(network).suffix == ".pulse":
        program = Program.load(Path(network), given_config(config, overrides))
    else:
        with working(f"compiling {network}"):
            program = compile_source(
                network,
                chosen_config(config, overrides),
                batch=batch,
                calibrate=calibrate,
                shape=parsed_shape(shape),
                set_inputs=parsed_inputs(set_input),
                outputs=outputs_only or (),
                states=parsed_states(state),
                sums=sums,
                seed=seed,
                effort=effort,
            )
    asked = energy or energy_table is not None
    estimated = estimate_program(program, times, working, timeline, energy_table)
    replayed = None
    if memory is not None:
        with working("replaying"):
            replayed = replay_program(program, memory, clock_mhz, times)
    if report is not None:
        estimated.save(report)
    if as_json:
        plain = estimated.to_dict()
        more = {"energy": plain["energy_estimate"]} if asked else {}
        more |= {} if replayed is None else {"replay": replayed.to_dict()}
        print_json({"report": plain, **more} if more else plain)
        return
    show(estimated)
    for part in (estimated.energy if asked else None, replayed):
        if part is not None:
            show("")
            show(part)


def _of_step(
    network: str,
    data: Path | None,
    loss: str | None,
    batch: int | None,
    config: str | None,
    overrides: Sequence[str],
    times: Mapping[str, int],
    timeline: Path | None,
    energy_table: str | None,
) -> dict[str, Report]:
    """Of the programs of a training step."""
    from pulsarray.api.step import estimate_step
    from pulsarray.api.task import Given, task_of

    wanted = Given(
        network=network,
        data=data,
        loss=loss,
        batch=None if batch is None else str(batch),
        learning_rate=None if data is None else _ANY_RATE,
    )
    task = task_of(wanted)
    machine = load_config(config or task.config, overrides)
    return estimate_step(task, machine, times, working, timeline, energy_table)


def _tell(reports: dict[str, Report], file: Path | None, as_json: bool, energy: bool) -> None:
    """Of the programs of a training step: all on standard output, the first in the file."""
    if file is not None:
        next(iter(reports.values())).save(file)
    if as_json:
        print_json({name: estimated.to_dict() for name, estimated in reports.items()})
        return
    for name, estimated in reports.items():
        show(f"[bold]{name}[/bold]")
        show(estimated)
        if energy:
            show(estimated.energy)
        show("")
