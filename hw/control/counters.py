"""The performance counters (docs/machine.md, section 8)."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Elaboratable, Module, Mux, Signal, Value
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from pulsarray.config import SEMAPHORES
from pulsarray.hw.blocks.choice import chosen
from pulsarray.hw.blocks.memory import Memory1R1W
from pulsarray.hw.blocks.shared import Shared
from pulsarray.isa import Unit
from pulsarray.registers import COUNTERS, UNIT_STATES

__all__ = ["COUNTER_BITS", "Counters"]

COUNTER_BITS = 32
_UNITS = len(Unit)
_COUNTERS = len(COUNTERS)
_FEW_BITS = _COUNTERS.bit_length()
"""Bits that count what happens from one visit of a counter to the next."""
_TAPS = (5, 4)
"""Bits of a shift register whose parity goes in below: it has every state of 6 bits but 0."""


def _states() -> list[int]:
    """What such a register holds after 0, 1, ... steps: counting takes no carries."""
    states = [1]
    for _ in range(_COUNTERS):
        parity = sum(states[-1] >> tap for tap in _TAPS) & 1
        states.append((states[-1] << 1 | parity) & ((1 << _FEW_BITS) - 1))
    return states


def _lowest(bits: Value) -> Value:
    """The lowest bit that is set, alone: of fours, since a carry would take a chain."""
    fours = [bits[start : start + 4] for start in range(0, len(bits), 4)]
    result: list[Value] = []
    below: Value = Const(0, 1)
    for four in fours:
        result += [four[n] & ~(four[:n].any() | below) for n in range(len(four))]
        below = below | four.any()
    return Cat(result)


def _counted(state: Value) -> Value:
    """How many steps have led to a state."""
    steps = {state: number for number, state in enumerate(_states())}
    return chosen([Const(steps.get(n, 0), _FEW_BITS) for n in range(1 << _FEW_BITS)], state)


class Counters(Shared):
    """Every counter of :data:`pulsarray.registers.COUNTERS`; all count only while running.

    The counts are in a memory. A few bits for each hold what has come since it was there last, and
    one counter a cycle, all in turn, is brought up to date.

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
    number, valid, value
        A counter that is asked for; whether its turn is now, and what it counts. Each has its turn
        once in as many cycles as there are counters.
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
                "number": In(range(_COUNTERS)),
                "valid": Out(1),
                "value": Out(COUNTER_BITS),
                "clear": In(1),
            }
        )

    def body(self, platform: Any) -> Elaboratable:
        """Which counters count, and the round over all of them."""
        m = Module()
        waits: Value = Const(0, SEMAPHORES)
        events: list[Value] = [Const(1, 1)]
        for unit in Unit:
            m.submodules[unit.name.lower()] = part = UnitState()
            names = ("active", "stall", "occupied", "start", "busy", "missing")
            m.d.comb += [getattr(part, name).eq(getattr(self, name)[unit]) for name in names]
            waits = waits | part.waiting
            events.append(part.state)
        counts = Signal(_COUNTERS, name="counts")
        events += [self.fetch, waits, self.read_beat, self.write_beat]
        m.d.comb += counts.eq(Mux(self.running, Cat(events), 0))
        self._visit(m, counts)
        return m

    def _visit(self, m: Module, counts: Signal) -> None:
        """A counter's few bits move into its word; in the first round that is all it counts."""
        place, first = Signal(range(_COUNTERS)), Signal(name="first_round")
        was, was_first = Signal.like(place, name="was"), Signal(name="was_first")
        added, ended = Signal(_FEW_BITS, name="added"), Signal.like(place, name="ended")
        m.submodules.words = words = Memory1R1W(COUNTER_BITS, _COUNTERS)
        turns = Signal(_COUNTERS, init=1, name="turns")  # place, as one bit that goes round
        of_turn, last = self._few(m, counts, turns), turns[-1]
        m.d.sync += [
            turns.eq(turns.rotate_left(1)),
            place.eq(Mux(last, 0, place + 1)),
            added.eq(_counted(of_turn)),
            Cat(was, was_first).eq(Cat(place, first)),
            self.value.eq(Mux(was_first, 0, words.read_data) + added),
            ended.eq(was),
        ]
        with m.If(last):
            m.d.sync += first.eq(0)
        with m.If(self.clear):
            m.d.sync += [turns.eq(1), place.eq(0), first.eq(1)]
        m.d.comb += [
            words.read_enable.eq(1),
            words.read_address.eq(place),
            words.write_enable.eq(1),
            words.write_address.eq(ended),
            words.write_data.eq(self.value),
            self.valid.eq(ended == self.number),
        ]

    def _few(self, m: Module, counts: Signal, turns: Signal) -> Value:
        """What the counter whose turn it is has counted since its last visit."""
        of_turn: Value = Const(0, _FEW_BITS)
        for number, name in enumerate(COUNTERS):
            state = Signal(_FEW_BITS, init=1, name=f"{name}_few")
            following = Cat(state[_TAPS[0]] ^ state[_TAPS[1]], state)[:_FEW_BITS]
            first, second, *_ = _states()
            again, turn = Mux(counts[number], second, first), turns[number]
            m.d.sync += state.eq(Mux(turn, again, Mux(counts[number], following, state)))
            with m.If(self.clear):
                m.d.sync += state.eq(first)
            of_turn = of_turn | Mux(turn, state, 0)
        return of_turn


class UnitState(Shared):
    """What one unit does: in each cycle one of :data:`pulsarray.registers.UNIT_STATES`.

    Members
    -------
    active, stall, occupied, start, busy, missing
        As in :class:`Counters`, of one unit.
    state
        One bit each; the first that applies is set.
    waiting
        The one semaphore that the unit waits for in this cycle.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                **{name: In(1) for name in ("active", "stall", "occupied", "start", "busy")},
                "missing": In(SEMAPHORES),
                "state": Out(len(UNIT_STATES)),
                "waiting": Out(SEMAPHORES),
            }
        )

    def body(self, platform: Any) -> Elaboratable:
        """A chain of choices."""
        m = Module()
        with m.If(self.active):
            m.d.comb += [self.state[0].eq(~self.stall), self.state[1].eq(self.stall)]
        with m.Elif(self.occupied):
            m.d.comb += [self.state[2].eq(~self.start), self.state[3].eq(self.start)]
            m.d.comb += self.waiting.eq(_lowest(self.missing))
        with m.Elif(self.busy):
            m.d.comb += self.state[4].eq(1)
        with m.Else():
            m.d.comb += self.state[5].eq(1)
        return m
