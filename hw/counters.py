"""The performance counters (docs/machine.md, section 8)."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Elaboratable, Module, Signal, Value
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from pulsarray.config import SEMAPHORES
from pulsarray.hw.shared import Shared
from pulsarray.isa import Unit
from pulsarray.registers import COUNTERS, UNIT_STATES

__all__ = ["COUNTER_BITS", "Counters"]

COUNTER_BITS = 32
_UNITS = len(Unit)


class Counters(Shared):
    """Every counter of :data:`pulsarray.registers.COUNTERS`; all count only while running.

    Members
    -------
    running
        The machine runs.
    active, stall, occupied, start, busy
        One bit a unit: front at work, and stalled; IR occupied; start in this cycle; an
        instruction started and not complete.
    missing[unit]
        Semaphores that keep the unit's IR from starting.
    fetch
        FETCH's state, one bit each: busy, queue, memory, idle.
    read_beat, write_beat
        A beat is accepted.
    values[counter]
        The counts.
    clear
        All become zero.
    """

    def __init__(self) -> None:
        units = {name: In(_UNITS) for name in ("active", "stall", "occupied", "start", "busy")}
        super().__init__(
            {
                "running": In(1),
                **units,
                "missing": In(data.ArrayLayout(SEMAPHORES, _UNITS)),
                "fetch": In(4),
                "read_beat": In(1),
                "write_beat": In(1),
                "values": Out(data.ArrayLayout(COUNTER_BITS, len(COUNTERS))),
                "clear": In(1),
            }
        )

    def body(self, platform: Any) -> Elaboratable:
        """One bit for every counter, and a counter for every bit."""
        m = Module()
        waits: Value = Const(0, SEMAPHORES)
        states: list[Value] = []
        for unit in Unit:
            state, waiting = self._state(m, unit)
            states.append(state)
            waits = waits | waiting
        events = Signal(len(COUNTERS))
        m.d.comb += events.eq(Cat(1, *states, self.fetch, waits, self.read_beat, self.write_beat))
        for number in range(len(COUNTERS)):
            m.submodules[f"counter_{COUNTERS[number]}"] = counter = Counter()
            m.d.comb += [
                counter.count.eq(events[number] & self.running),
                counter.clear.eq(self.clear),
                self.values[number].eq(counter.value),
            ]
        return m

    def _state(self, m: Module, unit: Unit) -> tuple[Signal, Signal]:
        """The unit's state, one bit each, and the one semaphore that it waits for."""
        name = unit.name.lower()
        state = Signal(len(UNIT_STATES), name=f"{name}_state")
        waiting = Signal(SEMAPHORES, name=f"{name}_waiting")
        missing = self.missing[unit]
        with m.If(self.active[unit]):
            m.d.comb += [state[0].eq(~self.stall[unit]), state[1].eq(self.stall[unit])]
        with m.Elif(self.occupied[unit]):
            m.d.comb += [state[2].eq(~self.start[unit]), state[3].eq(self.start[unit])]
            # The lowest bit that is set.
            m.d.comb += waiting.eq(missing & (~missing + 1))
        with m.Elif(self.busy[unit]):
            m.d.comb += state[4].eq(1)
        with m.Else():
            m.d.comb += state[5].eq(1)
        return state, waiting


class Counter(Shared):
    """One counter.

    Members
    -------
    count, clear, value
        Add one; become zero; the count.
    """

    def __init__(self) -> None:
        super().__init__({"count": In(1), "clear": In(1), "value": Out(COUNTER_BITS)})

    def body(self, platform: Any) -> Elaboratable:
        """An incrementer."""
        m = Module()
        with m.If(self.clear):
            m.d.sync += self.value.eq(0)
        with m.Elif(self.count):
            m.d.sync += self.value.eq(self.value + 1)
        return m
