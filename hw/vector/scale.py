"""The scale controller: what is noted of each exponent register, and how that adapts it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Cat, Const, Elaboratable, Module, Mux, Signal, Value, signed
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from pulsarray.config import EXPONENTS
from pulsarray.hw.blocks.shared import Shared
from pulsarray.hw.vector.exponents import EXPONENT_BITS, EXPONENT_SUM_BITS, exponent_planes
from pulsarray.hw.vector.normalizer import Normalizer
from pulsarray.hw.vector.rounding import WIDE, saturate

__all__ = ["SLOT_BITS", "ScaleController", "Statistic"]

SLOT_BITS = 24
"""Bits of a lane that hold a register and all that is noted of it."""
COUNT_BITS = 3
_GAP = 2
"""Unused bits of a lane below the statistic."""

Planes = Sequence[Value]
"""A number of each register, bit by bit."""


class Statistic(Shared):
    """How large a number is, as an exponent.

    Members
    -------
    magnitude, offset
        The number, and what its unit adds to its bit length.
    level
        The sum, saturated, in the same cycle.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "magnitude": In(WIDE),
                "offset": In(signed(EXPONENT_SUM_BITS)),
                "level": Out(signed(EXPONENT_BITS)),
            }
        )

    def body(self, platform: Any) -> Elaboratable:
        """A bit length and an adder."""
        m = Module()
        m.submodules.normalizer = normalizer = Normalizer()
        total = Signal(signed(EXPONENT_SUM_BITS + 1))
        m.d.comb += [
            normalizer.value.eq(self.magnitude),
            total.eq(normalizer.length + self.offset),
            self.level.eq(saturate(total, EXPONENT_BITS)),
        ]
        return m


class ScaleController(Shared):
    """Count, statistic and bits of every exponent register (docs/machine.md, SCALE).

    Register 0 takes no part.

    Parameters
    ----------
    dim
        Lanes of a word.

    Members
    -------
    magnitude, offset, near_limit
        How large a word is, two cycles before it is noted; what its exponents add to its bit
        length, and whether its sums came near their limit, one cycle before.
    note, note_limit, note_register
        Note the statistic of a word that is not all zeros, or the limit, for a register.
    read, adapt
        In the cycle in which SCALE does it.
    first, word
        The register of lane 0, and the slots of a word that is read.
    written
        The slots of a word that is written.
    values, load, loaded
        The registers themselves, as in :class:`pulsarray.hw.exponents.ExponentFile`.
    clear
        Forget everything.
    """

    def __init__(self, *, dim: int) -> None:
        self._dim = dim
        slots = data.ArrayLayout(SLOT_BITS, dim)
        super().__init__(
            {
                "magnitude": In(WIDE),
                "offset": In(signed(EXPONENT_SUM_BITS)),
                "near_limit": In(1),
                "note": In(1),
                "note_limit": In(1),
                "note_register": In(range(EXPONENTS)),
                "read": In(1),
                "adapt": In(1),
                "first": In(range(EXPONENTS)),
                "word": In(slots),
                "written": Out(slots),
                "values": In(exponent_planes()),
                "load": Out(EXPONENTS),
                "loaded": Out(exponent_planes()),
                "clear": In(1),
            },
            dim=dim,
        )

    def body(self, platform: Any) -> Elaboratable:
        """One operation on planes changes all registers at once."""
        m = Module()
        self._count = [Signal(EXPONENTS, name=f"count{bit}") for bit in range(COUNT_BITS)]
        self._level = [Signal(EXPONENTS, name=f"level{bit}") for bit in range(EXPONENT_BITS)]
        self._limit, self._overflow, self._noted = (
            Signal(EXPONENTS, name=name) for name in ("limit", "overflow", "noted")
        )
        self._state = [*self._count, self._limit, self._overflow, self._noted, *self._level]
        self._note(m)
        self._write(m)
        read_planes, places = self._read(m)
        adapted = self._adapt(m)
        m.d.comb += self.load.eq(Mux(self.adapt, self._noted, places))
        for bit in range(EXPONENT_BITS):
            m.d.comb += self.loaded[bit].eq(Mux(self.adapt, adapted[bit], read_planes[bit]))
        with m.If(self.clear):
            m.d.sync += [plane.eq(0) for plane in self._state]
        return m

    def _note(self, m: Module) -> None:
        """The largest statistic of a register since it was adapted."""
        m.submodules.statistic = statistic = Statistic()
        level, is_near = Signal(signed(EXPONENT_BITS), name="level"), Signal(name="is_near")
        is_some = Signal(name="is_some")
        m.d.sync += [
            statistic.magnitude.eq(self.magnitude),
            level.eq(statistic.level),
            is_some.eq(statistic.magnitude.any()),
            is_near.eq(self.near_limit),
        ]
        m.d.comb += statistic.offset.eq(self.offset)
        place, larger = Signal(EXPONENTS, name="note_place"), Signal(name="larger")
        number = self.note_register
        old = Cat(plane.bit_select(number, 1) for plane in self._level).as_signed()
        first = ~self._noted.bit_select(number, 1)
        m.d.comb += [
            place.eq((1 << number) & ~Const(1, EXPONENTS)),
            larger.eq(first | (level > old)),
        ]
        with m.If(self.note & is_some):
            m.d.sync += self._noted.eq(self._noted | place)
        with m.If(self.note & is_some & larger):
            for plane, bit in zip(self._level, level, strict=True):
                m.d.sync += plane.eq(Mux(bit, plane | place, plane & ~place))
        with m.If(self.note_limit & is_near):
            m.d.sync += self._limit.eq(self._limit | place)

    def _write(self, m: Module) -> None:
        """Registers from ``first`` on as lanes; beyond the last there are zeros."""
        values = [self.values[bit] for bit in range(EXPONENT_BITS)]
        below = len(self._state) - EXPONENT_BITS
        planes = [*values, *self._state[:below], *[None] * _GAP, *self._state[below:]]
        lanes: list[Value] = []
        for bit, plane in enumerate(planes):
            shifted = Signal(self._dim, name=f"written{bit}")
            if plane is not None:
                m.d.comb += shifted.eq(plane >> self.first)
            lanes.append(shifted)
        for lane in range(self._dim):
            m.d.comb += self.written[lane].eq(Cat(plane[lane] for plane in lanes))

    def _read(self, m: Module) -> tuple[Planes, Value]:
        """Lanes as registers from ``first`` on: their new values, and which registers they are."""
        places, span = Signal(EXPONENTS, name="places"), Signal(EXPONENTS, name="span")
        m.d.comb += [
            span.eq(Mux(self.read, (1 << self._dim) - 1, 0) << self.first),
            places.eq(span & ~Const(1, EXPONENTS)),
        ]
        word: Any = Signal.like(self.word, name="word_read")
        m.d.comb += word.eq(Mux(self.read, self.word.as_value(), 0))
        planes = []
        for bit in range(SLOT_BITS):
            read_plane = Signal(EXPONENTS, name=f"given{bit}")
            slots = Signal(self._dim, name=f"slots{bit}")
            m.d.comb += [
                slots.eq(Cat(word[lane][bit] for lane in range(self._dim))),
                read_plane.eq(slots << self.first),
            ]
            planes.append(read_plane)
        rest = planes[EXPONENT_BITS : -EXPONENT_BITS - _GAP] + planes[-EXPONENT_BITS:]
        with m.If(self.read):
            for plane, read_plane in zip(self._state, rest, strict=True):
                m.d.sync += plane.eq((plane & ~places) | (read_plane & places))
        return planes[:EXPONENT_BITS], places

    def _adapt(self, m: Module) -> Planes:
        """What the registers with a note become; the rest of them is updated here."""
        values = [self.values[bit] for bit in range(EXPONENT_BITS)]
        level, count, noted = self._level, self._count, self._noted
        difference = _difference(m, [*level, level[-1]], [*values, values[-1]], "above")
        is_over, is_up, is_full = (Signal(EXPONENTS, name=n) for n in ("over", "up", "full"))
        m.d.comb += [
            is_over.eq(~difference[8] & _any(difference[4:8])),
            is_up.eq(is_over | (~difference[8] & difference[3] & difference[2] & difference[1])),
            is_full.eq(count[0] & count[1] & count[2]),
        ]
        start = [(is_up & new) | (~is_up & old) for new, old in zip(level, values, strict=True)]
        # 14 below the statistic, or 1 below the value when the count is full.
        step = [is_full & ~is_up, is_up, is_up, is_up, *[Const(0, EXPONENTS)] * 5]
        result = _difference(m, [*start, start[-1]], step, "adapted")
        inside = ~result[8] | result[7]
        with m.If(self.adapt):
            counted = [~count[0], count[1] ^ count[0], count[2] ^ (count[1] & count[0])]
            for plane, new in zip(count, counted, strict=True):
                m.d.sync += plane.eq((plane & ~noted) | (new & ~is_up & noted))
            m.d.sync += [
                self._overflow.eq(self._overflow | (is_over & noted)),
                noted.eq(0),
            ]
        return [*(plane & inside for plane in result[:7]), result[8]]


def _any(planes: Planes) -> Value:
    return planes[0] | planes[1] | planes[2] | planes[3]


def _difference(m: Module, a: Planes, b: Planes, name: str) -> Planes:
    """``a - b`` of each register, as wide as both."""
    borrow: Value = Const(0, EXPONENTS)
    planes = []
    for bit, (left, right) in enumerate(zip(a, b, strict=True)):
        unlike = Signal(EXPONENTS, name=f"{name}_unlike{bit}")
        plane = Signal(EXPONENTS, name=f"{name}{bit}")
        after = Signal(EXPONENTS, name=f"{name}_borrow{bit}")
        m.d.comb += [
            unlike.eq(left ^ right),
            plane.eq(unlike ^ borrow),
            after.eq((~left & right) | (~unlike & borrow)),
        ]
        planes.append(plane)
        borrow = after
    return planes
