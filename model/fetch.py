"""Time of FETCH: from bytes in memory to queues (docs/machine.md, section 2)."""

from __future__ import annotations

from collections.abc import Callable

from pulsarray.model.plan import Plan, Step

__all__ = ["NEVER", "Fetch"]

NEVER = 1 << 60
"""Later than any cycle."""


class Fetch:
    """Progress of FETCH, as far as it is determined.

    Parameters
    ----------
    plan
        The program.
    interval
        Cycles a beat of the memory.
    dispatch
        Called with each instruction and the cycle it is dispatched in.

    Members
    -------
    wanted
        Cycle from which the next fetch is wanted, or :data:`NEVER`.
    stop
        Last cycle in which a fetch may be granted: END's unit is popped in it.
    blocked_on
        Unit whose queue is full, or -1.
    queued
        Cycles in which an instruction waited for room in its queue.
    ended, end_dispatch
        Whether END has been dispatched, and when.
    """

    def __init__(self, plan: Plan, interval: int, dispatch: Callable[[Step, int], None]) -> None:
        self._plan = plan
        per_fetch, beats = plan.units_per_fetch, plan.fetch_beats
        # Cycles from a fetch's first beat to the last beat of each of its units.
        self._last_beats = [
            (-(-(unit + 1) * beats // per_fetch) - 1) * interval for unit in range(per_fetch)
        ]
        self._dispatch = dispatch
        self._depth = plan.config.queue_depth
        self._wants = [0, 0][: plan.fetches]
        self._firsts: list[int] = []
        self._sent = [0] * len(plan.queues)
        self._instruction = 0  # next to dispatch
        self._unit = 0  # next 32-byte unit to pop
        self._popped = -1  # cycle of the last pop
        self._gathered = 0  # units of this instruction popped
        self._dispatched = 0  # cycle of the last dispatch
        self.wanted = 0
        self.stop = NEVER
        self.blocked_on = -1
        self.queued = 0
        self.ended = False
        self.end_dispatch = -1

    def granted(self, first: int) -> None:
        """The wanted fetch was granted; its first beat comes in cycle ``first``."""
        self._firsts.append(first)
        self._update_wanted()
        if self.blocked_on < 0:
            self.advance()

    def _update_wanted(self) -> None:
        number = len(self._firsts)
        self.wanted = self._wants[number] if number < len(self._wants) else NEVER

    def advance(self) -> None:
        """Pop and dispatch everything whose time is determined."""
        steps, total = self._plan.steps, len(self._plan.steps)
        self.blocked_on = -1
        while True:
            if self._instruction == total:
                if self._gather(1):
                    self.stop, self.end_dispatch, self.ended = self._popped, self._popped + 1, True
                return
            step = steps[self._instruction]
            if not self._gather(step.units) or not self._send(step):
                return

    def _gather(self, needed: int) -> bool:
        """Pop the units of one instruction, as far as their fetches have been granted."""
        per_fetch, firsts = self._plan.units_per_fetch, self._firsts
        while self._gathered < needed:
            fetch, place = divmod(self._unit, per_fetch)
            if fetch >= len(firsts):
                return False
            cycle = firsts[fetch] + self._last_beats[place] + 1
            if cycle <= self._popped:
                cycle = self._popped + 1
            if not self._gathered and cycle < self._dispatched:
                cycle = self._dispatched
            self._popped = cycle
            self._unit += 1
            self._gathered += 1
            if place == per_fetch - 1 and fetch + 2 < self._plan.fetches:
                self._wants.append(cycle + 1)
                self._update_wanted()
        return True

    def _send(self, step: Step) -> bool:
        """Dispatch the gathered instruction, if the room in its queue is determined."""
        number = self._sent[step.unit]
        cycle = self._popped + 1
        if number >= self._depth:
            ahead = self._plan.queues[step.unit][number - self._depth]
            if ahead.queue < 0:
                self.blocked_on = step.unit
                return False
            if ahead.queue + 1 > cycle:
                self.queued += ahead.queue + 1 - cycle
                cycle = ahead.queue + 1
        self._sent[step.unit] = number + 1
        self._instruction += 1
        self._gathered = 0
        self._dispatched = cycle
        self._dispatch(step, cycle)
        return True
