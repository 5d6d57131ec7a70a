"""Runs of a program: on the model or on RTL, compared, with their outputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pulsarray.api.progress import Working, quiet
from pulsarray.api.report import Report
from pulsarray.api.shown import Shown
from pulsarray.api.waves import MODEL, kept_whole, require_waves
from pulsarray.errors import InputError
from pulsarray.program import Program
from pulsarray.report import build_report, differences
from pulsarray.run import RunResult

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from rich.console import RenderableType

__all__ = ["MODEL", "Run", "run_in_order", "run_program"]


class Run(Shown):
    """What a run of a program gave.

    Parameters
    ----------
    program, result
        What ran, and what came of it.
    differences
        Where a simulator gave something else than the model; None if nothing was compared.

    Members
    -------
    report
        What it cost; None where the machine has no counters.
    """

    def __init__(self, program: Program, result: RunResult, differences: list[str] | None) -> None:
        self.program, self.result, self.differences = program, result, differences
        counted = program.config.counters
        self.report = Report(build_report(program, result)) if counted else None

    def __repr__(self) -> str:
        name = self.program.network or "program"
        return f"<Run of {name} on {self.result.source}: {self.cycles:,} cycles>"

    @property
    def cycles(self) -> int:
        """Machine cycles from start to interrupt."""
        return self.result.cycles

    @property
    def outputs(self) -> dict[str, npt.NDArray[np.float64]]:
        """Every output by name: real values in the shape that the network gives them."""
        from pulsarray.tensors import output_values

        assert self.result.memory is not None
        return output_values(self.program, self.result.memory)

    @property
    def states(self) -> dict[str, npt.NDArray[np.float64]]:
        """State by name as the next run will read it: real values."""
        from pulsarray.tensors import state_values

        assert self.result.memory is not None
        return state_values(self.program, self.result.memory)

    @property
    def output(self) -> npt.NDArray[np.float64]:
        """The only output.

        Raises
        ------
        InputError
            If there are several; the text lists them.
        """
        outputs = self.outputs
        if len(outputs) != 1:
            raise InputError(f"output: there is not one but {', '.join(outputs) or 'none'}")
        return next(iter(outputs.values()))

    def save_timeline(self, path: str | Path) -> None:
        """Write when each unit worked on what: ``.html``, or ``.json`` for Perfetto and Chrome.

        Raises
        ------
        InputError
            If the name ends in something else, or the machine has no trace.
        """
        from pulsarray.display.timeline import write_timeline

        write_timeline(Path(path), self.program, self.result)

    @property
    def complaint(self) -> str:
        """What differs first from the model; empty if nothing does."""
        first = self.differences[:1] if self.differences else []
        return "".join(f"{self.result.source} and the model differ: {text}" for text in first)

    def __rich__(self) -> RenderableType:
        from pulsarray.display.runs import run_view

        data = None if self.report is None else self.report.to_dict()
        return run_view(self.program, self.result, data, self.differences)


def run_program(
    program: Program,
    memory: npt.NDArray[np.uint8],
    on: str = MODEL,
    *,
    waves: Path | None = None,
    memory_latency: int = 64,
    memory_interval: int = 1,
    working: Working = quiet,
) -> Run:
    """Run a program on the model and, if ``on`` is a simulator, there too, and compare the two.

    Parameters
    ----------
    program, memory
        What to run, and uint8 memory before the run.
    on
        ``"model"``, ``"verilator"`` or ``"icarus"``.
    waves
        File for a simulator's waves, ``.fst`` or ``.vcd``; beside it ``.gtkw`` and ``.sucl``, with
        which GTKWave and Surfer show them by unit.
    memory_latency, memory_interval
        Cycles from an address to its first beat, and cycles a beat.
    working
        Is told what goes on.

    Raises
    ------
    InputError
        If there is no such place, or waves cannot be had.
    ProgramError
        If the machine stops with an error.
    ToolMissing
        If the simulator is not installed.
    """
    from pulsarray.sim.device import PLACES, run_model

    if on not in PLACES:
        raise InputError(f"on: must be one of {', '.join(PLACES)}, not {on!r}")
    require_waves(waves, on)
    times = {"memory_latency": memory_latency, "memory_interval": memory_interval}
    with working("running the model"):
        expected = run_model(program, memory, **times)
    if on == MODEL:
        return Run(program, expected, None)
    with kept_whole(waves, program.config) as part:
        got = on_simulator(program, memory, times, on, part, expected.cycles, working)
    return Run(program, got, compared(expected, got, program))


def run_in_order(
    program: Program,
    arrays: Sequence[Mapping[str, npt.NDArray[Any]] | None],
    on: str = MODEL,
    *,
    where: str = "inputs",
    waves: Path | None = None,
    memory_latency: int = 64,
    memory_interval: int = 1,
    working: Working = quiet,
) -> Iterator[Run]:
    """Runs one after the other, each on the memory that the one before has left.

    Ends early where a simulator gave something else than the model.

    Parameters
    ----------
    program
        What to run.
    arrays
        Inputs of each run; None where they stay as they are.
    on, memory_latency, memory_interval, working
        As of :func:`run_program`.
    where
        What the arrays are called.
    waves
        File for a simulator's waves of the last run.

    Raises
    ------
    InputError, ProgramError, ToolMissing
        As :func:`run_program`; also if arrays do not fit.
    """
    from pulsarray.tensors import with_arrays

    memory = program.memory
    for number, samples in enumerate(arrays, 1):
        done = run_program(
            program,
            memory.copy() if samples is None else with_arrays(program, samples, where, memory),
            on,
            waves=waves if number == len(arrays) else None,
            memory_latency=memory_latency,
            memory_interval=memory_interval,
            working=working,
        )
        yield done
        if done.complaint or done.result.memory is None:
            return
        memory = done.result.memory


def on_simulator(
    program: Program,
    memory: npt.NDArray[np.uint8],
    times: Mapping[str, int],
    on: str,
    waves: Path | None,
    cycles: int,
    working: Working,
) -> RunResult:
    """Generate, build and run; ``cycles`` are those that the model took."""
    from pulsarray.sim.device import simulate
    from pulsarray.sim.toolchain import wave_format

    build(program, on, wave_format(waves) if waves is not None else "", working)
    with working(f"running on {on}") as work:
        return simulate(
            program,
            on,
            memory=memory,
            waves=waves,
            progress=lambda done: work.advance(done, cycles),
            **times,
        )


def build(program: Program, on: str, waves: str, working: Working) -> None:
    """Make the simulator that a program runs on, if it is not there yet."""
    from pulsarray.sim import builds

    with working(f"generating Verilog for D = {program.config.dim}"):
        builds.verilog(program.config)
    with working(f"building for {on}"):
        builds.machine(program.config, on, program.memory.size, waves)


def compared(expected: RunResult, got: RunResult, program: Program) -> list[str]:
    """Where a simulator's run differs from the model's."""
    from pulsarray.sim.compare import compare

    different = compare(expected, got, program)
    if program.config.counters:
        pair = differences(build_report(program, expected), build_report(program, got))
        different += [f"report: {text}" for text in pair[:1]]
    return different
