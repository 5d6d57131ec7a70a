"""``pulsarray simulate``: run a program on the model or on RTL, and compare the two."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from pulsarray.cli.options import (
    ConfigOption,
    IntervalOption,
    JsonOption,
    LatencyOption,
    SetOption,
    given_config,
)
from pulsarray.cli.output import facts, print_json, require_writable, show, working
from pulsarray.display.view import view
from pulsarray.errors import CheckFailed, InputError
from pulsarray.files import write_atomically
from pulsarray.program import Program
from pulsarray.report import build_report, differences
from pulsarray.run import EVENT_FIELDS, RunResult

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["Place", "simulate"]


ROOM_BYTES = 16 << 20
"""Least free space after waves were written."""


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
    waves: Annotated[
        Path | None,
        typer.Option("--waves", metavar="F", help="Write waves, as .fst or .vcd."),
    ] = None,
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
    require_writable(outputs, report, events, waves, read=[program, inputs, config])
    from pulsarray.tensors import check_output_names, memory_with_inputs, save_outputs

    if outputs is not None:
        check_output_names(outputs, loaded)
    memory = memory_with_inputs(loaded, inputs)
    times = {"memory_latency": memory_latency, "memory_interval": memory_interval}
    expected = _on_model(loaded, memory, times)
    got, found = expected, None
    if on is not Place.MODEL:
        with _kept_whole(waves) as part:
            got = _on_simulator(loaded, memory, times, on, part, expected.cycles)
        found = _compare(expected, got, loaded)
    data = build_report(loaded, got) if loaded.config.counters else None
    if outputs is not None and got.memory is not None:
        save_outputs(outputs, loaded, got.memory)
    if report is not None:
        write_atomically(report, json.dumps(data, indent=2).encode() + b"\n")
    if events is not None:
        write_atomically(events, json.dumps(_events(loaded, got), indent=1).encode() + b"\n")
    if as_json:
        print_json({"report": data, "differences": found})
    else:
        _show(loaded, got, data, found)
    if found:
        raise CheckFailed(f"simulate: {on} and the model differ: {found[0]}")


def _check_options(
    program: Program, on: Place, report: Path | None, events: Path | None, waves: Path | None
) -> None:
    """Refuse what cannot be had before anything runs."""
    if waves is not None and on is Place.MODEL:
        raise InputError("--waves: the model has none; run --on icarus or --on verilator")
    if report is not None and not program.config.counters:
        raise InputError("--report: the program's configuration has counters = false")
    if events is not None and not program.config.trace:
        raise InputError("--events: the program's configuration has trace = false")


def _on_model(program: Program, memory: npt.NDArray[np.uint8], times: dict[str, int]) -> RunResult:
    from pulsarray.sim.device import run_model

    with working("running the model"):
        return run_model(program, memory, **times)


def _on_simulator(
    program: Program,
    memory: npt.NDArray[np.uint8],
    times: dict[str, int],
    on: Place,
    waves: Path | None,
    cycles: int,
) -> RunResult:
    from pulsarray.sim import builds, toolchain
    from pulsarray.sim.device import simulate as run

    dumps = toolchain.wave_format(waves) if waves is not None else ""
    with working(f"generating Verilog for D = {program.config.dim}"):
        builds.verilog(program.config)
    with working(f"building for {on}"):
        builds.machine(program.config, on.value, memory.size, dumps)
    with working(f"running on {on}") as work:
        return run(
            program,
            on.value,
            memory=memory,
            waves=waves,
            progress=lambda done: work.advance(done, cycles),
            **times,
        )


@contextlib.contextmanager
def _kept_whole(waves: Path | None) -> Iterator[Path | None]:
    """A file in a folder beside ``waves`` to write to; it takes its place when the block ends.

    An interrupted run leaves none; one that fails leaves its waves, to look at.

    Raises
    ------
    InputError
        If the device became full.
    """
    if waves is None:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix=".waves-", dir=waves.parent) as name:
        part = Path(name) / waves.name
        try:
            yield part
        except KeyboardInterrupt:
            part.unlink(missing_ok=True)
            raise
        finally:
            if part.exists():
                _check_room(waves)
                part.replace(waves)


def _check_room(waves: Path) -> None:
    """Simulators do not say that a device was too full for their waves."""
    if shutil.disk_usage(waves.parent).free < ROOM_BYTES:
        raise InputError(
            f"{waves}: less than {ROOM_BYTES >> 20} MiB are left on the device, so the waves may "
            "be cut short; make room"
        )


def _compare(expected: RunResult, got: RunResult, program: Program) -> list[str]:
    from pulsarray.sim.compare import compare

    found = compare(expected, got, program)
    if program.config.counters:
        pair = differences(build_report(program, expected), build_report(program, got))
        found += [f"report: {text}" for text in pair[:1]]
    return found


def _show(
    program: Program, got: RunResult, data: dict[str, Any] | None, found: list[str] | None
) -> None:
    if data is not None:
        show(view(data))
        show("")
    if found:
        show(facts({"[red]DIFFERENT[/red] from the model": "; ".join(map(escape, found))}))
    elif found is not None:
        show(facts(_identities(program, got)))


def _identities(program: Program, got: RunResult) -> dict[str, str]:
    """What was compared with the model and is equal."""
    size = 0 if got.memory is None else got.memory.size
    rows = {"values": f"identical: {size:,} bytes of memory"}
    if program.config.counters:
        rows["cycles"] = f"identical: {got.cycles:,}"
        rows["counters"] = f"identical: {len(got.counters)}"
        rows["report"] = "identical, field by field"
    if program.config.trace:
        rows["events"] = (
            f"identical: {got.events.size:,} figures of {len(got.events):,} instructions"
        )
    return {f"{name}, model and {got.source}": text for name, text in rows.items()}


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
