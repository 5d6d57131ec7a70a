"""The transposer: blocks of D words in, their D lane-vectors out."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Elaboratable, Module, Mux, Signal, Value, signed
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from pulsarray.hw.blocks.shared import Shared

__all__ = ["Transposer"]


class Transposer(Shared):
    """A D x D block of registers that shifts one way for a block and the other way for the next.

    While one block shifts out, the next shifts in behind it, along the same axis, so that D cycles
    a block are enough. A block enters in D consecutive cycles, and leaves in D consecutive cycles
    that begin when the user likes; the next block may enter from that cycle on.

    Parameters
    ----------
    dim, operand_bits
        Words of a block and lanes of a word, D; width of an operand.

    Members
    -------
    in_valid, in_data
        A word enters.
    out_enable
        Take the word on ``out_data``, if any: the next one is there in the next cycle.
    out_data
        Word i of the block: lane j is lane i of the word that entered as number j.
    full
        A whole block is there of which nothing has been taken; so from the cycle after its last
        word until the first ``out_enable``.
    valid
        There is a word on ``out_data``: a whole block, or what is left of it.
    clear
        Forget everything.
    """

    def __init__(self, dim: int, operand_bits: int) -> None:
        self._dim, self._operand_bits = dim, operand_bits
        word = data.ArrayLayout(signed(operand_bits), dim)
        super().__init__(
            {
                "in_valid": In(1),
                "in_data": In(word),
                "out_enable": In(1),
                "out_data": Out(word),
                "full": Out(1),
                "valid": Out(1),
                "clear": In(1),
            },
            dim=dim,
            operand_bits=operand_bits,
        )

    def body(self, platform: Any) -> Elaboratable:
        """Registers, and which way they shift."""
        m = Module()
        across = Signal()
        turned = Signal()
        take = Signal()
        m.d.comb += [turned.eq(across ^ self.full), take.eq(self.out_enable & self.valid)]
        with m.If(take):
            m.d.sync += across.eq(turned)
        self._registers(m, take, turned)
        self._count(m, take)
        with m.If(self.clear):
            m.d.sync += across.eq(0)
        return m

    def _registers(self, m: Module, take: Value, across: Value) -> None:
        """Words enter at the last row and leave at row 0, or enter and leave lane by lane."""
        dim = self._dim
        rows = [
            Signal(dim * self._operand_bits, name=f"row{i}", reset_less=True) for i in range(dim)
        ]
        down = [*rows[1:], self.in_data.as_value()]
        with m.If(self.in_valid | take):
            for index, row in enumerate(rows):
                along = Cat(row[self._operand_bits :], self.in_data[index])
                m.d.sync += row.eq(Mux(across, along, down[index]))
        column = Cat(row[: self._operand_bits] for row in rows)
        m.d.comb += self.out_data.as_value().eq(Mux(across, column, rows[0]))

    def _count(self, m: Module, take: Value) -> None:
        """Words that have entered of the next block, and words left of this one."""
        entered = Signal(range(self._dim))
        left = Signal(range(self._dim))
        last_in = self.in_valid & (entered == self._dim - 1)
        m.d.comb += self.valid.eq(self.full | (left != 0))
        with m.If(self.in_valid):
            m.d.sync += entered.eq(Mux(last_in, 0, entered + 1))
        with m.If(take):
            m.d.sync += left.eq(Mux(self.full, self._dim - 1, left - 1))
        with m.If(last_in):
            m.d.sync += self.full.eq(1)
        with m.Elif(take):
            m.d.sync += self.full.eq(0)
        with m.If(self.clear):
            m.d.sync += [entered.eq(0), left.eq(0), self.full.eq(0)]
