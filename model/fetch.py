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
        # The last unit of a fetch makes room for the one after the next.
        self._boundaries = frozenset(range(per_fetch, (plan.fetches - 1) * per_fetch, per_fetch))
        self._granted = 0
        self._ready: list[int] = []  # cycle in which each unit of the granted fetches is complete
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
        self._granted += 1
        self._ready += [first + 1 + last for last in self._last_beats]
        self._update_wanted()
        if self.blocked_on < 0:
            self.advance()

    def _update_wanted(self) -> None:
        wants, number = self._wants, self._granted
        self.wanted = wants[number] if number < len(wants) else NEVER

    def advance(self) -> None:
        """Pop and dispatch everything whose time is determined."""
        steps, queues = self._plan.steps, self._plan.queues
        sent, depth = self._sent, self._depth
        self.blocked_on = -1
        for number in range(self._instruction, len(steps)):
            step = steps[number]
            if self._gathered < step.units and not self._gather(step.units):
                return
            cycle, unit = self._popped + 1, step.unit
            place = sent[unit]
            if place >= depth:
                left = queues[unit][place - depth].queue
                if left < 0:
                    self.blocked_on = unit
                    return
                if left >= cycle:
                    self.queued += left + 1 - cycle
                    cycle = left + 1
            sent[unit] = place + 1
            self._instruction, self._gathered, self._dispatched = number + 1, 0, cycle
            self._dispatch(step, cycle)
        if self._gather(1):
            self.stop, self.end_dispatch, self.ended = self._popped, self._popped + 1, True

    def _gather(self, needed: int) -> bool:
        """Pop the units of one instruction, as far as their fetches have been granted."""
        ready, popped, gathered, unit = self._ready, self._popped, self._gathered, self._unit
        for at in ready[unit : unit + needed - gathered]:
            popped = at if at > popped else popped + 1
            if not gathered and popped < self._dispatched:
                popped = self._dispatched
            gathered += 1
            unit += 1
            if unit in self._boundaries:
                self._wants.append(popped + 1)
                self._update_wanted()
        self._popped, self._gathered, self._unit = popped, gathered, unit
        return gathered == needed
