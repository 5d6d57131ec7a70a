"""A fixed delay of wide words, as a ring in a memory instead of a long shift register."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Elaboratable, Module, Mux, Signal
from amaranth.lib.wiring import In, Out

from pulsarray.hw.blocks.memory import Memory1R1W
from pulsarray.hw.blocks.shared import Shared

__all__ = ["Delay"]


class Delay(Shared):
    """Every word leaves a fixed number of cycles after it entered, one a cycle.

    Parameters
    ----------
    bits, cycles
        Width of a word, and the delay, at least 2.
    blocks
        Whether the memory is made of block RAM however small it is.

    Members
    -------
    entering, leaving
        The word of this cycle, and of ``cycles`` cycles ago.
    """

    def __init__(self, bits: int, cycles: int, *, blocks: bool) -> None:
        self._bits, self._cycles = bits, cycles
        self._style = "block" if blocks else ""
        super().__init__(
            {"entering": In(bits), "leaving": Out(bits)},
            bits=bits,
            cycles=cycles,
            blocks=blocks,
        )

    def body(self, platform: Any) -> Elaboratable:
        """The row that is written now is read again just before its turn comes."""
        m = Module()
        m.submodules.ring = ring = Memory1R1W(self._bits, self._cycles, self._style)
        place, following = Signal(range(self._cycles)), Signal(range(self._cycles))
        m.d.comb += [
            following.eq(Mux(place == self._cycles - 1, 0, place + 1)),
            ring.write_enable.eq(1),
            ring.write_address.eq(place),
            ring.write_data.eq(self.entering),
            ring.read_enable.eq(1),
            ring.read_address.eq(following),
            self.leaving.eq(ring.read_data),
        ]
        m.d.sync += place.eq(following)
        return m
