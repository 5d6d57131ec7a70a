"""Semaphores in time: when each count rises, and which rise each wait takes."""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence

from pulsarray.config import SEMAPHORE_MAX, SEMAPHORES
from pulsarray.errors import ProgramError
from pulsarray.model.plan import Step
from pulsarray.registers import ErrorCode

__all__ = ["Semaphores"]


class Semaphores:
    """Counts as lists of times: one unit waits for a semaphore, so its waits take rises in order.

    Members
    -------
    rises
        For each semaphore the cycles from which its signals are visible, in order of time.
    taken
        Of those, how many have been taken.
    waits
        Cycles waited for each semaphore.
    """

    def __init__(self) -> None:
        self.rises: list[list[int]] = [[] for _ in range(SEMAPHORES)]
        self.taken = [0] * SEMAPHORES
        self.waits = [0] * SEMAPHORES

    def rise(self, k: int, cycle: int) -> bool:
        """One more signal, visible from a cycle that is not yet past.

        Returns whether it can matter to a step that waits: none was left, or others come later.
        """
        rises = self.rises[k]
        if len(rises) == self.taken[k]:
            rises.append(cycle)
            return True
        if rises[-1] > cycle:
            insort(rises, cycle)
            return True
        rises.append(cycle)
        return False

    def available(self, step: Step, start: int) -> int:
        """First cycle from ``start`` on in which all that a step waits for is there, or -1."""
        for k in step.waits:
            rises, taken = self.rises[k], self.taken[k]
            if taken == len(rises):
                return -1
            cycle = rises[taken]
            if cycle > start:
                start = cycle
        return start

    def take(self, step: Step, waiting: int) -> None:
        """Take one from each that a step waits for; it has been ready since ``waiting``."""
        for k in step.waits:
            cycle = self.rises[k][self.taken[k]]
            self.taken[k] += 1
            # Of several that are missing, the lowest is the one waited for.
            if cycle > waiting:
                self.waits[k] += cycle - waiting
                waiting = cycle

    def missing(self, step: Step) -> int:
        """The lowest semaphore that a step waits for in vain, or -1."""
        for k in step.waits:
            if self.taken[k] == len(self.rises[k]):
                return k
        return -1

    def overflow(self, steps: Sequence[Step]) -> tuple[int, ProgramError] | None:
        """The first cycle in which a count goes above the largest, if there is one.

        With it SEMAPHORE, which names the instruction that signals once too often.
        """
        full = [k for k, rises in enumerate(self.rises) if len(rises) > SEMAPHORE_MAX]
        overflows = [first for k in full if (first := _first_overflow(k, steps)) is not None]
        if not overflows:
            return None
        cycle, index, text = min(overflows)
        return cycle, ProgramError(ErrorCode.SEMAPHORE, index, text)


def _first_overflow(k: int, steps: Sequence[Step]) -> tuple[int, int, str] | None:
    # Signals and takes are visible in the cycle after; a take makes room for a signal beside it.
    takes = [(s.start, -1, s.index) for s in steps if k in s.waits and s.start >= 0]
    signals = [(s.complete, s.unit, s.index) for s in steps if k in s.signals and s.complete >= 0]
    count = 0
    for cycle, unit, index in sorted(takes + signals):
        count += 1 if unit >= 0 else -1
        if count > SEMAPHORE_MAX:
            text = f"cycle {cycle}: semaphore {k} overflows (instruction {index} signals)"
            return cycle, index, text
    return None
