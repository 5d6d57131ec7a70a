"""The exponent registers."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Elaboratable, Module, Signal, Value, signed
from amaranth.lib.wiring import In, Out

from pulsarray.config import EXPONENTS
from pulsarray.hw.memory import Memory1R1W
from pulsarray.hw.shared import Shared

__all__ = ["EXPONENT_SUM_BITS", "ExponentFile"]

EXPONENT_BITS = 8
EXPONENT_SUM_BITS = EXPONENT_BITS + 2


class ExponentFile(Shared):
    """Registers that read as zero until they are written; three are read at once.

    Members
    -------
    write, register, value
        Set a register.
    read, target, a, b
        Asks for three registers.
    total
        ``target - a - b``, in the cycle after ``read``.
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
                "read": In(1),
                "target": In(number),
                "a": In(number),
                "b": In(number),
                "total": Out(signed(EXPONENT_SUM_BITS)),
                "clear": In(1),
            }
        )

    def body(self, platform: Any) -> Elaboratable:
        """A copy of the file for each reader, and a bit for each register that was written."""
        m = Module()
        written = Signal(EXPONENTS)
        with m.If(self.write):
            m.d.sync += written.bit_select(self.register, 1).eq(1)
        with m.If(self.clear):
            m.d.sync += written.eq(0)
        target, a, b = (self._read(m, name, written) for name in ("target", "a", "b"))
        m.d.comb += self.total.eq(target - a - b)
        return m

    def _read(self, m: Module, name: str, written: Signal) -> Value:
        m.submodules[f"{name}_copy"] = copy = Memory1R1W(EXPONENT_BITS, EXPONENTS)
        number = getattr(self, name)
        is_set = Signal(name=f"{name}_is_set")
        value = Signal(signed(EXPONENT_BITS), name=f"{name}_value")
        m.d.comb += [
            copy.write_enable.eq(self.write),
            copy.write_address.eq(self.register),
            copy.write_data.eq(self.value),
            copy.read_enable.eq(self.read),
            copy.read_address.eq(number),
        ]
        with m.If(self.read):
            m.d.sync += is_set.eq(written.bit_select(number, 1))
        with m.If(is_set):
            m.d.comb += value.eq(copy.read_data)
        return value
