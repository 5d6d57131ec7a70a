"""``pulsarray simulate``: run a program on the model or on RTL, and compare the two."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from pulsarray.api.waves import require_waves
from pulsarray.cli.options import (
    ConfigOption,
    IntervalOption,
    JsonOption,
    LatencyOption,
    SetOption,
    TimelineOption,
    WavesOption,
    given_config,
)
from pulsarray.cli.output import print_json, require_writable, show, wave_files, working
from pulsarray.display.timeline import require_timeline, write_timeline
from pulsarray.errors import CheckFailed, InputError
from pulsarray.files import write_atomically
from pulsarray.program import Program
from pulsarray.run import EVENT_FIELDS, RunResult

__all__ = ["Place", "simulate"]


class Place(StrEnum):
    """Where a program runs."""

    MODEL = "model"
    ICARUS = "icarus"
    VERILATOR = "verilator"


def simulate(
    program: Annotated[Path, typer.Argument(metavar="P.pulse", help="Program file.")],
    on: Annotated[Place, typer.Option("--on", help="Where to run it.")] = Place.MODEL,
    inputs: Annotated[
        Path | None,
        typer.Option(
            "--inputs", metavar="X.npz", help="Inputs by name: real values, or codes as integers."
        ),
    ] = None,
    outputs: Annotated[
        Path | None,
        typer.Option(
            "--outputs", metavar="Y.npz", help="Write the outputs: real values and codes."
        ),
    ] = None,
    report: Annotated[
        Path | None, typer.Option("--report", metavar="R.json", help="Write the report.")
    ] = None,
    events: Annotated[
        Path | None,
        typer.Option("--events", metavar="E.json", help="Write each instruction's cycles."),
    ] = None,
    runs: Annotated[
        int,
        typer.Option(
            "--runs",
            min=1,
            help="Runs, each with as many samples of the inputs, one after the other: state goes "
            "on from run to run. Report, events, timeline and waves are of the last one.",
        ),
    ] = 1,
    timeline: TimelineOption = None,
    waves: WavesOption = None,
    memory_latency: LatencyOption = 64,
    memory_interval: IntervalOption = 1,
    config: ConfigOption = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run a program. On a simulator: also on the model, and say whether the two are identical.

    For example:

      pulsarray simulate mnist.pulse --inputs digits.npz --outputs answers.npz

      pulsarray simulate mnist.pulse --on verilator --report rtl.json

      pulsarray simulate mnist.pulse --on icarus --waves run.fst
    """
    loaded = Program.load(program, given_config(config, overrides))
    _check_options(loaded, on, report, events, waves)
    require_timeline(timeline, loaded)
    files = [outputs, report, events, timeline, *wave_files(waves)]
    require_writable(*files, read=[program, inputs, config])
    from pulsarray.api.running import run_in_order
    from pulsarray.arrays import load_arrays
    from pulsarray.tensors import check_output_names, save_outputs, split_runs

    if outputs is not None:
        check_output_names(outputs, loaded)
    arrays = None if inputs is None else load_arrays(inputs)
    memories = []
    for run in run_in_order(
        loaded,
        [None] * runs if arrays is None else split_runs(loaded, arrays, runs, str(inputs)),
        on.value,
        where=str(inputs),
        waves=waves,
        memory_latency=memory_latency,
        memory_interval=memory_interval,
        working=working,
    ):
        if outputs is not None and run.result.memory is not None:
            memories.append(run.result.memory)
    if outputs is not None:
        save_outputs(outputs, loaded, memories)
    if report is not None and run.report is not None:
        run.report.save(report)
    if events is not None:
        text = json.dumps(_events(loaded, run.result), indent=1)
        write_atomically(events, text.encode() + b"\n")
    if timeline is not None:
        write_timeline(timeline, loaded, run.result)
    if as_json:
        data = None if run.report is None else run.report.to_dict()
        print_json({"report": data, "differences": run.differences})
    else:
        show(run)
    if run.complaint:
        raise CheckFailed(f"simulate: {run.complaint}")


def _check_options(
    program: Program, on: Place, report: Path | None, events: Path | None, waves: Path | None
) -> None:
    """Refuse what cannot be had before anything runs."""
    require_waves(waves, on.value)
    if report is not None and not program.config.counters:
        raise InputError("--report: the program's configuration has counters = false")
    if events is not None and not program.config.trace:
        raise InputError("--events: the program's configuration has trace = false")


def _events(program: Program, result: RunResult) -> list[dict[str, Any]]:
    rows = []
    for event in result.events.tolist():
        instruction = program.instructions[event[0]]
        unit = instruction.format.unit
        rows.append(
            {
                **dict(zip(EVENT_FIELDS, event, strict=True)),
                "unit": "" if unit is None else unit.name.lower(),
                "text": instruction.text(),
            }
        )
    return rows
