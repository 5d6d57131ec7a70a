"""A queue of words in a memory that must be asked, which hands out the oldest all the same."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Elaboratable, Module, Mux, Signal
from amaranth.lib.wiring import In, Out

from pulsarray.hw.blocks.memory import Memory1R1W
from pulsarray.hw.blocks.shared import Shared

__all__ = ["PrefetchFifo"]


class PrefetchFifo(Shared):
    """First in, first out; a word is seen from the second cycle after it entered on.

    Parameters
    ----------
    bits, depth
        Width of a word, and words that the memory holds, at least 2; one more is shown.
    blocks
        Whether the memory is made of block RAM however small it is.

    Members
    -------
    push, entering
        A word enters at the end of the cycle; its user sees to it that there is room.
    valid, head, pop
        Whether there is a word to be seen, the oldest; it leaves at the end of the cycle.
    clear
        All leave.
    """

    def __init__(self, bits: int, depth: int, *, blocks: bool) -> None:
        self._bits, self._depth = bits, depth
        self._style = "block" if blocks else "distributed"
        super().__init__(
            {
                "push": In(1),
                "entering": In(bits),
                "valid": Out(1),
                "head": Out(bits),
                "pop": In(1),
                "clear": In(1),
            },
            bits=bits,
            depth=depth,
            blocks=blocks,
        )

    def body(self, platform: Any) -> Elaboratable:
        """The next word is read when the one that is seen leaves, or none is."""
        m = Module()
        m.submodules.store = rows = Memory1R1W(self._bits, self._depth, self._style)
        level, read = Signal(range(self._depth + 1)), Signal(name="read")
        m.d.comb += [
            read.eq((level != 0) & (~self.valid | self.pop)),
            rows.write_enable.eq(self.push),
            rows.write_data.eq(self.entering),
            rows.read_enable.eq(read),
            self.head.eq(rows.read_data),
        ]
        for moved, address in ((self.push, rows.write_address), (read, rows.read_address)):
            place = Signal(range(self._depth))
            m.d.comb += address.eq(place)
            with m.If(moved):
                m.d.sync += place.eq(Mux(place == self._depth - 1, 0, place + 1))
            with m.If(self.clear):
                m.d.sync += place.eq(0)
        m.d.sync += [
            level.eq(level + self.push - read),
            self.valid.eq(read | (self.valid & ~self.pop)),
        ]
        with m.If(self.clear):
            m.d.sync += [level.eq(0), self.valid.eq(0)]
        return m
