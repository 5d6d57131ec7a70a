"""Jobs of a simulation: what is run, and the files through which the bench and its caller talk.

A job folder holds ``jobs.json`` and, for job ``i``, ``i.in`` (memory image), and then from the
bench ``i.json`` (status and counters), ``i.out`` (memory written), ``i.events``, and ``progress``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pulsarray.config import Config
from pulsarray.errors import CheckFailed, InputError, ProgramError
from pulsarray.isa import UNIT_BYTES, Bank, Instruction, Unit
from pulsarray.program import Program
from pulsarray.registers import COUNTERS, ErrorCode
from pulsarray.run import RunResult
from pulsarray.sim.pages import PAGE_BYTES, all_pages, apply_pages, pack_pages
from pulsarray.sim.protocol import violation_text

__all__ = ["Job", "Outcome", "cycle_bound", "describe", "outcome", "read_outcome", "write_jobs"]

_UNDECODABLE_LIMIT = 1 << 16


@dataclass(frozen=True, kw_only=True)
class Job:
    """One run of a program on a simulator.

    Parameters
    ----------
    program
        The program.
    memory
        uint8 memory before the run; None for the program's own image.
    memory_latency, memory_interval
        L and I of the simulated memory, in cycles.
    cycle_limit
        The machine stops itself after so many cycles; None for :func:`cycle_bound`.
    reset
        Reset the machine before the run.
    reset_after
        Not 0: start, reset in mid-run after about so many cycles, load again, and run whole.
    stop_after
        The same with STOP instead of the reset.
    base_address
        Where in the simulated memory the image lies, a multiple of 4096.
    """

    program: Program
    memory: npt.NDArray[np.uint8] | None = None
    memory_latency: int = 64
    memory_interval: int = 1
    cycle_limit: int | None = None
    reset: bool = False
    reset_after: int = 0
    stop_after: int = 0
    base_address: int = 0

    @property
    def image(self) -> npt.NDArray[np.uint8]:
        """Memory before the run."""
        return self.program.memory if self.memory is None else self.memory


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a job ended.

    Parameters
    ----------
    error
        Why the machine stopped; NONE after END.
    error_index
        The instruction it stopped on, -1 for none.
    violation
        Number of the broken protocol rule, 0 for none.
    result
        Counters, events and memory after the run.
    """

    error: ErrorCode
    error_index: int
    violation: int
    result: RunResult

    def checked(self) -> RunResult:
        """The result of a run that ended well.

        Raises
        ------
        ProgramError
            If the machine stopped with an error.
        CheckFailed
            If it broke the AXI protocol.
        """
        if self.violation:
            raise CheckFailed(violation_text(self.violation))
        if self.error:
            where = f"instruction {self.error_index}" if self.error_index >= 0 else "no instruction"
            text = f"{self.result.source}: stopped by {self.error.name} at {where}"
            raise ProgramError(self.error, self.error_index, text)
        return self.result


def cycle_bound(program: Program, latency: int, interval: int) -> int:
    """Cycles that any run of the program stays below, unless it never ends.

    It is what every instruction would take alone, summed and doubled.
    """
    try:
        instructions = program.instructions
    except InputError:
        return _UNDECODABLE_LIMIT
    work = sum(_alone(i, program.config, latency, interval) for i in instructions)
    units = len(program.code) // UNIT_BYTES + 1
    fetch = units * (-(-UNIT_BYTES // program.config.bus_bytes) * interval + latency + 16)
    return min(2 * (work + fetch) + _UNDECODABLE_LIMIT, 0xFFFF_FFFF)


def _alone(instruction: Instruction, config: Config, latency: int, interval: int) -> int:
    form = instruction.format
    loops = math.prod(instruction[f"count{level}"] for level in range(form.levels))
    if form.unit in (Unit.LOAD, Unit.STORE):
        wide = Bank.ACCUMULATOR <= instruction["bank"] <= Bank.PARAMETER
        size = instruction["run"] * (config.acc_word_bytes if wide else config.word_bytes)
        bursts = size // config.burst_bytes + size // 4096 + 2
        return loops * (size // config.bus_bytes * interval + bursts * (latency + interval + 8))
    return loops * (2 * config.dim if form.unit is Unit.WEIGHT else 1) + 8 * config.dim + 64


def describe(job: Job) -> dict[str, int]:
    """What the bench must know of a job besides its memory."""
    limit = job.cycle_limit
    if limit is None:
        limit = cycle_bound(job.program, job.memory_latency, job.memory_interval)
    return {
        "latency": job.memory_latency,
        "interval": job.memory_interval,
        "size": job.base_address + int(job.image.size),
        "base_address": job.base_address,
        "program_address": job.program.code_address,
        "program_units": len(job.program.code) // UNIT_BYTES,
        "cycle_limit": limit,
        "reset": job.reset,
        "reset_after": job.reset_after,
        "stop_after": job.stop_after,
    }


def write_jobs(folder: Path, jobs: Sequence[Job], config: Config) -> None:
    """Write every job's files."""
    table = [describe(job) for job in jobs]
    (folder / "jobs.json").write_text(json.dumps(table), encoding="ascii")
    for number, job in enumerate(jobs):
        first = job.base_address // PAGE_BYTES
        pages = pack_pages(job.image, all_pages(job.image), config.bus_bytes, first)
        (folder / f"{number}.in").write_bytes(pages)


def read_outcome(folder: Path, number: int, job: Job, simulator: str) -> Outcome:
    """Read what the bench wrote for one job.

    Raises
    ------
    CheckFailed
        If the machine never raised its interrupt.
    """
    state = json.loads((folder / f"{number}.json").read_text(encoding="ascii"))
    return outcome(state, folder, number, job, simulator)


def outcome(
    state: Mapping[str, Any], folder: Path, number: int, job: Job, simulator: str
) -> Outcome:
    """A job's outcome from what the bench found, and the files of memory and events.

    Raises
    ------
    CheckFailed
        If the machine never raised its interrupt.
    """
    if state["hung"]:
        raise CheckFailed(f"{simulator}: no interrupt {_described(job)}")
    memory, index = job.image.copy(), state["error_index"]
    pages = (folder / f"{number}.out").read_bytes()
    first = job.base_address // PAGE_BYTES
    apply_pages(pages, memory, job.program.config.bus_bytes, first)
    result = RunResult(
        source=simulator,
        counters=dict(zip(COUNTERS, state["counters"], strict=True)),
        events=_read_events(folder / f"{number}.events"),
        memory=memory,
        memory_latency=job.memory_latency,
        memory_interval=job.memory_interval,
    )
    return Outcome(
        error=ErrorCode(state["error_code"]),
        error_index=-1 if index == 0xFFFF_FFFF else index,
        violation=state["violation"],
        result=result,
    )


def _described(job: Job) -> str:
    return f"from {job.program.network or 'a program'} of {len(job.program.code)} bytes"


def _read_events(path: Path) -> npt.NDArray[np.int64]:
    """Rows (index, p, s, c) in program order; -1 where an event did not happen."""
    if not path.exists():
        return np.empty((0, 4), np.int64)
    values = np.array(path.read_bytes().split(), np.int64).reshape(-1, 4)
    count = int(values[:, 2].max(initial=-1)) + 1
    events = np.full((count, 4), -1, np.int64)
    events[:, 0] = np.arange(count)
    events[values[:, 2], 1 + values[:, 1]] = values[:, 3]
    return events
