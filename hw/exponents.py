"""The exponent registers, and shifts that have them added."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Elaboratable, Module, Signal, Value, signed
from amaranth.lib.wiring import In, Out

from pulsarray.config import EXPONENTS
from pulsarray.hw.rounding import clamp
from pulsarray.hw.shared import Shared

__all__ = ["EXPONENT_SUM_BITS", "SHIFT_BITS", "ExponentFile", "ShiftSum"]

EXPONENT_BITS = 8
EXPONENT_SUM_BITS = EXPONENT_BITS + 2
SHIFT_BITS = 7
"""Width of a shift that was cut to what matters."""
SHIFT_MAX = 63
"""Largest right shift."""


class ExponentFile(Shared):
    """Registers that are zero until they are written; three are read at once.

    Members
    -------
    write, register, value
        Set a register.
    target, a, b
        Three registers.
    total
        ``target - a - b`` of their values, in the same cycle.
    clear
        All registers become zero.
    """

    def __init__(self) -> None:
        number = range(EXPONENTS)
        super().__init__(
            {
                "write": In(1),
                "register": In(number),
                "value": In(signed(EXPONENT_BITS)),
                "target": In(number),
                "a": In(number),
                "b": In(number),
                "total": Out(signed(EXPONENT_SUM_BITS)),
                "clear": In(1),
            }
        )

    def body(self, platform: Any) -> Elaboratable:
        """All registers side by side in one."""
        m = Module()
        values, old, new = (Signal(EXPONENT_BITS * EXPONENTS, name=n) for n in ("values", "o", "n"))
        place = Signal(range(EXPONENT_BITS * EXPONENTS))
        m.d.comb += [
            place.eq(self.register << 3),
            old.eq(((1 << EXPONENT_BITS) - 1) << place),
            new.eq(self.value.as_unsigned() << place),
        ]
        with m.If(self.write):
            m.d.sync += values.eq((values & ~old) | new)
        with m.If(self.clear):
            m.d.sync += values.eq(0)
        target, a, b = (self._read(values, number) for number in (self.target, self.a, self.b))
        m.d.comb += self.total.eq(target - a - b)
        return m

    def _read(self, values: Value, number: Value) -> Value:
        return values.word_select(number, EXPONENT_BITS).as_signed()


class ShiftSum(Shared):
    """A shift and the exponents, cut to the range that matters.

    Beyond it to the right everything becomes 0 but for the -1 that a floor would leave, and to the
    left every sum saturates.

    Parameters
    ----------
    acc_bits
        Width of a sum.

    Members
    -------
    shift, exponent
        Terms.
    total
        Right shift by at most 63, or to the left by at most ``acc_bits - 1``.
    """

    def __init__(self, *, acc_bits: int) -> None:
        self._acc_bits = acc_bits
        super().__init__(
            {
                "shift": In(signed(8)),
                "exponent": In(signed(EXPONENT_SUM_BITS)),
                "total": Out(signed(SHIFT_BITS)),
            },
            acc_bits=acc_bits,
        )

    def body(self, platform: Any) -> Elaboratable:
        """An adder and two comparisons."""
        m = Module()
        total = Signal(signed(EXPONENT_SUM_BITS + 1))
        m.d.comb += [
            total.eq(self.shift + self.exponent),
            self.total.eq(clamp(total, 1 - self._acc_bits, SHIFT_MAX)),
        ]
        return m
