"""A queue of words."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Elaboratable, Module, Mux, Signal
from amaranth.lib import memory
from amaranth.lib.wiring import In, Out

from pulsarray.hw.blocks.shared import Shared

__all__ = ["Fifo"]


class Fifo(Shared):
    """First in, first out; the oldest word is seen without being asked for.

    Parameters
    ----------
    bits, depth
        Width of a word, and words that the queue holds.

    Members
    -------
    push, entering
        A word enters at the end of the cycle; its user sees to it that there is room.
    head, pop
        The oldest word, which may leave when there is one.
    level
        Words in the queue.
    clear
        All leave.
    """

    def __init__(self, bits: int, depth: int) -> None:
        self._bits, self._depth = bits, depth
        super().__init__(
            {
                "push": In(1),
                "entering": In(bits),
                "pop": In(1),
                "head": Out(bits),
                "level": Out(range(depth + 1)),
                "clear": In(1),
            },
            bits=bits,
            depth=depth,
        )

    def body(self, platform: Any) -> Elaboratable:
        """A ring."""
        m = Module()
        rows = max(2, self._depth)  # an address has at least one bit
        store: Any = memory.Memory(shape=self._bits, depth=rows, init=[])
        m.submodules.store = store
        enter, leave = store.write_port(), store.read_port(domain="comb")
        m.d.comb += [
            enter.en.eq(self.push),
            enter.data.eq(self.entering),
            self.head.eq(leave.data),
        ]
        for moved, port in ((self.push, enter), (self.pop, leave)):
            place = Signal(range(rows))
            m.d.comb += port.addr.eq(place)
            with m.If(moved):
                m.d.sync += place.eq(Mux(place == self._depth - 1, 0, place + 1))
            with m.If(self.clear):
                m.d.sync += place.eq(0)
        m.d.sync += self.level.eq(self.level + self.push - self.pop)
        with m.If(self.clear):
            m.d.sync += self.level.eq(0)
        return m
