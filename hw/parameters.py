"""The parameter bank: per-lane constants of the vector unit."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Elaboratable, Module, Signal
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from pulsarray.hw.memory import Memory1R1W
from pulsarray.hw.shared import Shared

__all__ = ["COLUMNS", "ParameterColumn"]

COLUMNS = ("bias", "multiplier", "shift", "constant")
"""Constants of a row, in the order of their words (docs/machine.md, section 1)."""


class ParameterColumn(Shared):
    """One constant of every lane and row, cut from the slots in which memory holds it.

    Parameters
    ----------
    dim, bits, slot_bits, depth
        Lanes; width of the constant, and of its slot in memory; rows.

    Members
    -------
    write, write_row, write_data
        A word in the format of an accumulator word in memory.
    read, row
        Asks for a row.
    lanes[lane]
        The constants, in the cycle after ``read``.
    """

    def __init__(self, *, dim: int, bits: int, slot_bits: int, depth: int) -> None:
        self._dim, self._bits, self._slot, self._depth = dim, bits, slot_bits, depth
        rows = range(max(2, depth))
        super().__init__(
            {
                "write": In(1),
                "write_row": In(rows),
                "write_data": In(slot_bits * dim),
                "read": In(1),
                "row": In(rows),
                "lanes": Out(data.ArrayLayout(bits, dim)),
            },
            dim=dim,
            bits=bits,
            slot_bits=slot_bits,
            depth=depth,
        )

    def body(self, platform: Any) -> Elaboratable:
        """A memory of the bits that count."""
        m = Module()
        m.submodules.rows = rows = Memory1R1W(self._dim * self._bits, max(2, self._depth))
        cut = Signal(self._dim * self._bits)
        slots = (self.write_data[self._slot * i :][: self._bits] for i in range(self._dim))
        m.d.comb += [
            cut.eq(Cat(slots)),
            rows.write_enable.eq(self.write),
            rows.write_address.eq(self.write_row),
            rows.write_data.eq(cut),
            rows.read_enable.eq(self.read),
            rows.read_address.eq(self.row),
            self.lanes.eq(rows.read_data),
        ]
        return m
