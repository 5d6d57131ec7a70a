"""Programs on the model or on a simulator, through one interface."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from pulsarray.config import Config
from pulsarray.errors import InputError, did_you_mean
from pulsarray.model.run import run
from pulsarray.program import Program, pack, unpack
from pulsarray.run import RunResult
from pulsarray.sim import builds, toolchain
from pulsarray.sim.jobs import Job, Outcome, read_outcome, write_jobs
from pulsarray.sim.live import Live
from pulsarray.sim.names import write_names
from pulsarray.sim.prepared import Prepared
from pulsarray.sim.watch import watched

__all__ = ["PLACES", "Device", "run_jobs", "run_model", "simulate", "simulate_many"]

PLACES = ("model", *toolchain.SIMULATORS)
"""Where a program can run."""

_BENCH = "pulsarray.sim.machine_tests"


def run_jobs(
    jobs: Sequence[Job],
    config: Config,
    simulator: str,
    *,
    waves: Path | None = None,
    progress: Callable[[int], None] | None = None,
) -> list[Outcome]:
    """Run jobs one after the other in one simulator process.

    Parameters
    ----------
    jobs
        Programs for ``config`` and how to run each.
    config, simulator
        The machine, ``"icarus"`` or ``"verilator"``.
    waves
        File for the waves of everything, ``.fst`` or ``.vcd``.
    progress
        Called about five times a second, in a thread, with the cycles so far of the current job.

    Raises
    ------
    InputError
        If a program is for another configuration, or the suffix of ``waves`` is wrong.
    ToolMissing
        If the simulator is not installed.
    CheckFailed
        If the machine does not come to an end, or the bench fails.
    """
    toolchain.require_name(simulator)
    for job in jobs:
        _require_fit(job.program, config)
    if not jobs:
        return []
    size = max(job.base_address + job.image.size for job in jobs)
    folder = builds.machine(config, simulator, size, toolchain.wave_format(waves) if waves else "")
    with tempfile.TemporaryDirectory(prefix="pulsarray-jobs-") as name:
        files = Path(name)
        write_jobs(files, jobs, config)
        if waves is not None and config.trace:
            for number, job in enumerate(jobs):
                write_names(files, number, job.program)
        plusargs = [f"+folder={name}"]
        with watched(files / "progress", progress):
            toolchain.run(
                simulator, builds.MACHINE_TOP, folder, _BENCH, plusargs=plusargs, waves=waves
            )
        return [read_outcome(files, i, job, simulator) for i, job in enumerate(jobs)]


def _require_fit(program: Program, config: Config) -> None:
    if program.config != config:
        raise InputError(
            f"simulate: the program is for configuration {program.config.label}, "
            f"not for {config.label}"
        )


def simulate_many(jobs: Sequence[Job], config: Config, simulator: str) -> list[RunResult]:
    """Run jobs in one simulator process; each must end well.

    Raises
    ------
    ProgramError
        If the machine stops with an error.
    CheckFailed
        If it breaks the AXI protocol or does not end.
    """
    return [outcome.checked() for outcome in run_jobs(jobs, config, simulator)]


def simulate(
    program: Program,
    simulator: str,
    *,
    memory: npt.NDArray[np.uint8] | None = None,
    memory_latency: int = 64,
    memory_interval: int = 1,
    cycle_limit: int | None = None,
    waves: Path | None = None,
    progress: Callable[[int], None] | None = None,
) -> RunResult:
    """Run a program on a simulator.

    Parameters
    ----------
    program, simulator
        What to run where.
    memory
        uint8 memory before the run; None for the program's own image.
    memory_latency, memory_interval
        L and I of the simulated memory, in cycles.
    cycle_limit
        Stop after so many cycles; None for a bound that only an endless run reaches.
    waves, progress
        As for :func:`run_jobs`.

    Raises
    ------
    ProgramError
        If the machine stops with an error.
    CheckFailed
        If it breaks the AXI protocol or does not end.
    """
    job = Job(
        program=program,
        memory=memory,
        memory_latency=memory_latency,
        memory_interval=memory_interval,
        cycle_limit=cycle_limit,
    )
    outcomes = run_jobs([job], program.config, simulator, waves=waves, progress=progress)
    return outcomes[0].checked()


def run_model(
    program: Program,
    memory: npt.NDArray[np.uint8] | None = None,
    *,
    memory_latency: int = 64,
    memory_interval: int = 1,
) -> RunResult:
    """Run a program on the model: what a simulator must give.

    Raises
    ------
    ProgramError
        If the machine would stop with an error.
    """
    return run(
        program, memory=memory, memory_latency=memory_latency, memory_interval=memory_interval
    )


class Device:
    """One machine with its memory, on the model or on a simulator, run after run.

    A simulator's process starts with the first run and serves all that follow; leaving the
    ``with`` block, :meth:`close` and the end of this process end it. After an error, an interrupt
    or :meth:`close`, memory is as it was before the run, and another run starts another process.

    Banks of a simulated machine keep what they hold from run to run, while the model starts every
    run with zeros; it refuses a program that reads a word of a bank that it has not written.

    Parameters
    ----------
    on
        ``"model"``, ``"icarus"`` or ``"verilator"``.
    memory_latency, memory_interval
        L and I of the simulated memory, in cycles.
    check
        Run on the model everything that a simulator runs, and compare the two.
    timing
        Whether the model works out counters and events; values alone are quicker to have.

    Raises
    ------
    InputError
        If there is no such place.
    """

    def __init__(
        self,
        on: str = "model",
        *,
        memory_latency: int = 64,
        memory_interval: int = 1,
        check: bool = False,
        timing: bool = True,
    ) -> None:
        if on not in PLACES:
            raise InputError(
                f"device must be one of {', '.join(PLACES)}, not {on!r}{did_you_mean(on, PLACES)}"
            )
        self._on = on
        self._latency = memory_latency
        self._interval = memory_interval
        self._timing = timing
        self._program: Program | None = None
        self._memory = np.empty(0, np.uint8)
        self._result: RunResult | None = None
        self._prepared: dict[int, Prepared] = {}
        self._simulated = Live(on, check=check)
        self._recorded: list[tuple[Job, RunResult]] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the simulator's process, if there is one."""
        self._simulated.close()

    @contextlib.contextmanager
    def recording(self, runs: list[tuple[Job, RunResult]]) -> Iterator[None]:
        """Note every run of the block: what would repeat it, and what came of it."""
        self._recorded = runs
        try:
            yield
        finally:
            self._recorded = None

    def load(self, program: Program) -> None:
        """Take a program and its memory image."""
        self._program = program
        self._memory = program.memory.copy()
        self._result = None
        self._prepared.clear()

    def write(self, name: str, values: npt.ArrayLike) -> None:
        """Write a tensor's codes or sums: integers, shape (rows, columns)."""
        program = self._loaded()
        tensor = program.tensor(name)
        data = pack(values, tensor, program.config)
        self._memory[tensor.address : tensor.address + data.size] = data

    def restore(self, memory: npt.NDArray[np.uint8]) -> None:
        """Take a whole memory image, as a run left it.

        Raises
        ------
        InputError
            If its size is another one.
        """
        if memory.size != self._loaded().memory.size:
            size = self._loaded().memory.size
            raise InputError(f"device: memory has {size} bytes, the image {memory.size}")
        self._memory = memory.copy()

    def read(self, name: str) -> npt.NDArray[np.int64]:
        """The codes or sums of a tensor, shape (rows, columns)."""
        program = self._loaded()
        return unpack(self._memory, program.tensor(name), program.config)

    def run(self, program: Program | None = None) -> RunResult:
        """Run a program once; memory keeps what it wrote.

        Parameters
        ----------
        program
            None for the loaded one; or another that lies in the same memory image.

        Raises
        ------
        InputError
            If the program is for another machine or is not in memory.
        ProgramError
            If the machine stops with an error.
        CheckFailed
            If it breaks the AXI protocol or does not end; with ``check``, if it does anything
            else than the model: the text gives the first difference of each kind.
        """
        prepared = self._prepare(self._loaded() if program is None else program)
        before = self._memory.copy() if self._recorded is not None else self._memory
        if self._on == "model":
            result = prepared.run(self._memory, timing=self._timing)
        else:
            result = self._simulated.run(prepared, self._memory)
        assert result.memory is not None
        self._memory, self._result = result.memory.copy(), result
        if self._recorded is not None:
            self._recorded.append((prepared.job(before), result))
        return result

    @property
    def result(self) -> RunResult:
        """All that is known of the last run.

        Raises
        ------
        InputError
            If nothing has run.
        """
        if self._result is None:
            raise InputError("device: no run yet, so no result and no counters")
        return self._result

    def counters(self) -> dict[str, int]:
        """The performance counters of the last run.

        Raises
        ------
        InputError
            If nothing has run.
        """
        return dict(self.result.counters)

    def _loaded(self) -> Program:
        if self._program is None:
            raise InputError("device: no program loaded")
        return self._program

    def _prepare(self, program: Program) -> Prepared:
        """What is known of a program already; it is in memory whole."""
        _require_fit(program, self._loaded().config)
        first, size = program.code_address, self._memory.size
        if program.memory.size != size:
            needed = program.memory.size
            raise InputError(f"device: memory has {size} bytes, the program needs {needed}")
        if self._memory[first : first + len(program.code)].tobytes() != program.code:
            raise InputError(f"device: memory at {first:#x} does not hold the program's code")
        if id(program) not in self._prepared:
            self._prepared[id(program)] = Prepared(program, size, self._latency, self._interval)
        return self._prepared[id(program)]
