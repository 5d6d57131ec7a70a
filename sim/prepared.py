"""A program made ready to run many times: what does not depend on data is worked out once.

Neither the checks nor the time do. The checks look at instructions and the size of memory; the
timing model is made from a program, L and I alone and never sees memory, so counters and events
of a program are the same in every run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from pulsarray.isa import Instruction
from pulsarray.model.checks import check
from pulsarray.model.functional import values
from pulsarray.model.races import ordered
from pulsarray.model.timing import simulate_timing
from pulsarray.program import Program
from pulsarray.run import RunResult
from pulsarray.sim.jobs import Job, cycle_bound

__all__ = ["Prepared"]


class Prepared:
    """A program for one size of memory and one memory timing.

    Parameters
    ----------
    program
        The program.
    memory_bytes
        Size of memory.
    memory_latency, memory_interval
        L and I of the memory, in cycles.
    """

    def __init__(
        self, program: Program, memory_bytes: int, memory_latency: int, memory_interval: int
    ) -> None:
        self.program = program
        self._bytes = memory_bytes
        self._latency, self._interval = memory_latency, memory_interval

    @cached_property
    def _checked(self) -> Sequence[Instruction]:
        return check(self.program, self._bytes)

    @cached_property
    def _ordered(self) -> Sequence[Instruction]:
        return ordered(self.program, self._checked, self._bytes)

    @cached_property
    def _time(self) -> RunResult:
        return simulate_timing(
            self.program, memory_latency=self._latency, memory_interval=self._interval
        )

    @cached_property
    def _cycle_limit(self) -> int:
        return cycle_bound(self.program, self._latency, self._interval)

    def job(self, memory: npt.NDArray[np.uint8]) -> Job:
        """The job that runs the program on a memory."""
        return Job(
            program=self.program,
            memory=memory,
            memory_latency=self._latency,
            memory_interval=self._interval,
            cycle_limit=self._cycle_limit,
        )

    def run(self, memory: npt.NDArray[np.uint8], *, timing: bool = True) -> RunResult:
        """Run the program on the model; without ``timing`` there are no counters and events.

        Raises
        ------
        ProgramError
            If the machine would stop with an error; without ``timing``, none that depends on time.
        UnknownResult
            If it would not stop, but its result cannot be told.
        """
        _ = self._checked  # first: the time asks for right fields
        time = self._time if timing else self._no_time()
        return replace(time, memory=values(self.program.config, self._ordered, memory))

    def _no_time(self) -> RunResult:
        return RunResult(
            source="model",
            counters={},
            events=np.empty((0, 4), np.int64),
            memory=None,
            memory_latency=self._latency,
            memory_interval=self._interval,
        )
