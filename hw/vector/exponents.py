"""The exponent registers, and shifts that have them added."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Elaboratable, Module, Mux, Signal, Value, signed
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from pulsarray.config import EXPONENTS
from pulsarray.hw.blocks.shared import Shared
from pulsarray.hw.vector.rounding import clamp, saturate

__all__ = [
    "EXPONENT_BITS",
    "EXPONENT_SUM_BITS",
    "SHIFT_BITS",
    "ExponentFile",
    "ShiftSum",
    "exponent_planes",
]

EXPONENT_BITS = 8
EXPONENT_SUM_BITS = EXPONENT_BITS + 2
SHIFT_BITS = 7
"""Width of a shift that was cut to what matters."""
SHIFT_MAX = 63
"""Largest right shift."""


def exponent_planes() -> data.ArrayLayout:
    """All registers: plane k holds bit k of each, so that one operation changes all of them."""
    return data.ArrayLayout(EXPONENTS, EXPONENT_BITS)


class ExponentFile(Shared):
    """Registers that are zero until they are written; three are read at once.

    Members
    -------
    write, value, maximum
        Set register ``target`` to ``value + sum``, saturated; with ``maximum`` only to raise it.
    target, a, b
        Three registers.
    sum, total
        ``a + b`` and ``target - a - b`` of their values, in the same cycle.
    values
        All registers.
    load, loaded
        Registers to set, one bit each, and to what.
    clear
        All registers become zero.
    """

    def __init__(self) -> None:
        number = range(EXPONENTS)
        members: dict[str, Any] = {
            "write": In(1),
            "value": In(signed(EXPONENT_BITS)),
            "maximum": In(1),
            "target": In(number),
            "a": In(number),
            "b": In(number),
            "sum": Out(signed(EXPONENT_BITS + 1)),
            "total": Out(signed(EXPONENT_SUM_BITS)),
            "values": Out(exponent_planes()),
            "load": In(EXPONENTS),
            "loaded": In(exponent_planes()),
            "clear": In(1),
        }
        super().__init__(members)

    def body(self, platform: Any) -> Elaboratable:
        """Three reads, and a write of one register or of many."""
        m = Module()
        planes: Any = Signal(exponent_planes(), name="planes")
        target, a, b = (self._read(planes, number) for number in (self.target, self.a, self.b))
        place = Signal(EXPONENTS)
        value = Signal(signed(EXPONENT_BITS), name="saturated")
        result = Signal(EXPONENT_BITS, name="result")
        m.d.comb += [
            self.sum.eq(a + b),
            self.total.eq(target - self.sum),
            value.eq(saturate(self.value + self.sum, EXPONENT_BITS)),
            result.eq(Mux(self.maximum & (target > value), target, value)),
            place.eq(1 << self.target),
        ]
        with m.If(self.write):
            for bit in range(EXPONENT_BITS):
                m.d.sync += planes[bit].eq(
                    Mux(result[bit], planes[bit] | place, planes[bit] & ~place)
                )
        m.d.comb += self.values.eq(planes)
        with m.If(self.load.any()):
            for bit in range(EXPONENT_BITS):
                kept, loaded_bit = planes[bit] & ~self.load, self.loaded[bit] & self.load
                m.d.sync += planes[bit].eq(kept | loaded_bit)
        with m.If(self.clear):
            m.d.sync += planes.eq(0)
        return m

    def _read(self, planes: Any, number: Value) -> Value:
        return Cat(planes[bit].bit_select(number, 1) for bit in range(EXPONENT_BITS)).as_signed()


class ShiftSum(Shared):
    """A shift and the exponents, cut to the range that matters.

    Beyond it to the right everything becomes 0 but for the -1 that a floor would leave, and to the
    left every sum saturates.

    Parameters
    ----------
    acc_bits
        Width of a sum.
    exponents
        Whether there are exponents.

    Members
    -------
    shift, exponent
        Terms; the second one only with exponents.
    total
        Right shift by at most 63, or to the left by at most ``acc_bits - 1``.
    """

    def __init__(self, *, acc_bits: int, exponents: bool) -> None:
        self._acc_bits, self._exponents = acc_bits, exponents
        members: dict[str, Any] = {"shift": In(signed(8)), "total": Out(signed(SHIFT_BITS))}
        if exponents:
            members["exponent"] = In(signed(EXPONENT_SUM_BITS))
        super().__init__(members, acc_bits=acc_bits, exponents=exponents)

    def body(self, platform: Any) -> Elaboratable:
        """An adder and two comparisons."""
        m = Module()
        total = Signal(signed(EXPONENT_SUM_BITS + 1))
        m.d.comb += [
            total.eq(self.shift + self.exponent if self._exponents else self.shift),
            self.total.eq(clamp(total, 1 - self._acc_bits, SHIFT_MAX)),
        ]
        return m
