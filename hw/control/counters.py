"""The performance counters (docs/machine.md, section 8)."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Elaboratable, Module, Signal, Value
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from pulsarray.config import SEMAPHORES
from pulsarray.hw.blocks.shared import Shared
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
        """A group of counters for each unit, and one counter for everything else."""
        m = Module()
        waiting = Signal(SEMAPHORES)
        cycles = Signal(COUNTER_BITS)
        values: list[Value] = [cycles]
        _count(m, cycles, self.running, self.clear)
        waits: Value = Const(0, SEMAPHORES)
        for unit in Unit:
            m.submodules[unit.name.lower()] = counters = UnitCounters()
            names = ("active", "stall", "occupied", "start", "busy", "missing")
            m.d.comb += [getattr(counters, name).eq(getattr(self, name)[unit]) for name in names]
            m.d.comb += [counters.running.eq(self.running), counters.clear.eq(self.clear)]
            waits = waits | counters.waiting
            values += [counters.values[number] for number in range(len(UNIT_STATES))]
        m.d.comb += waiting.eq(waits)
        others = Cat(self.fetch, waiting, self.read_beat, self.write_beat)
        for number in range(len(others)):
            value = Signal(COUNTER_BITS, name=f"{COUNTERS[len(values)]}_value")
            _count(m, value, others[number] & self.running, self.clear)
            values.append(value)
        m.d.comb += self.values.eq(Cat(values))
        return m


class UnitCounters(Shared):
    """The counters of one unit: each cycle adds to one of them.

    Members
    -------
    running, active, stall, occupied, start, busy, missing, clear
        As in :class:`Counters`, of one unit.
    waiting
        The one semaphore that the unit waits for in this cycle.
    values[state]
        The counts.
    """

    def __init__(self) -> None:
        names = ("running", "active", "stall", "occupied", "start", "busy", "clear")
        super().__init__(
            {
                **{name: In(1) for name in names},
                "missing": In(SEMAPHORES),
                "waiting": Out(SEMAPHORES),
                "values": Out(data.ArrayLayout(COUNTER_BITS, len(UNIT_STATES))),
            }
        )

    def body(self, platform: Any) -> Elaboratable:
        """The first state that applies."""
        m = Module()
        state = Signal(len(UNIT_STATES))
        with m.If(self.active):
            m.d.comb += [state[0].eq(~self.stall), state[1].eq(self.stall)]
        with m.Elif(self.occupied):
            m.d.comb += [state[2].eq(~self.start), state[3].eq(self.start)]
            # The lowest bit that is set.
            m.d.comb += self.waiting.eq(self.missing & (~self.missing + 1))
        with m.Elif(self.busy):
            m.d.comb += state[4].eq(1)
        with m.Else():
            m.d.comb += state[5].eq(1)
        values = [Signal(COUNTER_BITS, name=f"{name}_value") for name in UNIT_STATES]
        for number, value in enumerate(values):
            _count(m, value, state[number] & self.running, self.clear)
        m.d.comb += self.values.eq(Cat(values))
        return m


def _count(m: Module, value: Signal, event: Value, clear: Value) -> None:
    with m.If(event):
        m.d.sync += value.eq(value + 1)
    with m.If(clear):
        m.d.sync += value.eq(0)
