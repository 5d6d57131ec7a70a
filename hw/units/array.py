"""The systolic array: D x D processing elements between faces of plain words."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Elaboratable, Module, Shape, Signal, Value, signed
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from pulsarray.hw.blocks.shared import Shared
from pulsarray.hw.units.pe import ProcessingElement

__all__ = ["Array", "ArrayRow"]


class ArrayRow(Shared):
    """One row of the array; operand and tokens enter at column 0, lane c is column c.

    Parameters
    ----------
    dim, operand_bits, psum_bits
        Columns, and widths as in :class:`ProcessingElement`.

    Members
    -------
    x
        Operand for column 0.
    swap, swap_next
        Token for column 0, and the same for the row below in the next cycle.
    index
        Number of this row.
    w, w_row, w_valid, w_next, w_row_next, w_valid_next
        Weights that pass (lane c a cycle after lane c - 1), the row that they are for and whether
        they are any, as of column 0; and all that for the row below in the next cycle.
    sums, sums_next
        Partial sums from above and to below.
    """

    inline = False

    def __init__(self, dim: int, operand_bits: int, psum_bits: int) -> None:
        self._dim, self._operand_bits, self._psum_bits = dim, operand_bits, psum_bits
        weights = data.ArrayLayout(signed(operand_bits), dim)
        sums = data.ArrayLayout(signed(psum_bits), dim)
        super().__init__(
            {
                "x": In(signed(operand_bits)),
                "swap": In(1),
                "swap_next": Out(1),
                "index": In(range(dim)),
                "w": In(weights),
                "w_row": In(range(dim)),
                "w_valid": In(1),
                "w_next": Out(weights),
                "w_row_next": Out(range(dim)),
                "w_valid_next": Out(1),
                "sums": In(sums),
                "sums_next": Out(sums),
            },
            dim=dim,
            operand_bits=operand_bits,
            psum_bits=psum_bits,
        )

    def body(self, platform: Any) -> Elaboratable:
        """A chain of elements, and the comparison that tells them which weights are theirs."""
        m = Module()
        m.d.comb += [
            self.swap_next.eq(_delay(m, "swap_register", self.swap, 1)),
            self.w_row_next.eq(_delay(m, "w_row_register", self.w_row, 1)),
            self.w_valid_next.eq(_delay(m, "w_valid_register", self.w_valid, 1)),
        ]
        capture = Signal()
        m.d.comb += capture.eq(self.w_valid & (self.w_row == self.index))
        x, swap, token = self.x, self.swap, capture
        for column in range(self._dim):
            pe = ProcessingElement(self._operand_bits, self._psum_bits)
            m.submodules[f"pe{column}"] = pe
            m.d.comb += [
                pe.x_in.eq(x),
                pe.swap_in.eq(swap),
                pe.capture_in.eq(token),
                pe.w_in.eq(self.w[column]),
                pe.sum_in.eq(self.sums[column]),
                self.w_next[column].eq(pe.w_out),
                self.sums_next[column].eq(pe.sum_out),
            ]
            x, swap, token = pe.x_out, pe.swap_out, pe.capture_out
        return m


class Array(Shared):
    """Weight-stationary systolic array with double-buffered weights.

    A word on the left face in cycle f leaves as sums in f + 2D + 1. Weights on the top face in
    cycle t serve words from cycle t + 1 on, once a word with ``x_first`` has swapped them in; the
    rows of the next tile may enter from the cycle of that word on.

    Parameters
    ----------
    dim
        Rows and columns, D.
    operand_bits, psum_bits
        Width of operands, and of sums, which wrap.

    Members
    -------
    x, x_valid
        A word on the left face: lane r meets row r of the weights.
    x_first
        The word is the first of a pass that takes the next tile of weights.
    w, w_row, w_valid
        A row of weights on the top face: lane c goes to column c of row ``w_row``.
    y, y_valid
        Sums of a word: lane c is ``sum(x[r] * weight[r][c])``.
    clear
        Forget which words are on their way.
    """

    def __init__(self, dim: int, operand_bits: int, psum_bits: int) -> None:
        self._dim, self._operand_bits, self._psum_bits = dim, operand_bits, psum_bits
        operands = data.ArrayLayout(signed(operand_bits), dim)
        super().__init__(
            {
                "x": In(operands),
                "x_valid": In(1),
                "x_first": In(1),
                "w": In(operands),
                "w_row": In(range(dim)),
                "w_valid": In(1),
                "y": Out(data.ArrayLayout(signed(psum_bits), dim)),
                "y_valid": Out(1),
                "clear": In(1),
            },
            dim=dim,
            operand_bits=operand_bits,
            psum_bits=psum_bits,
        )

    def body(self, platform: Any) -> Elaboratable:
        """Rows, with skew on the way in and de-skew on the way out."""
        m = Module()
        dim = self._dim
        weights = [_delay(m, f"w_skew{c}", self.w[c], c) for c in range(dim)]
        swap: Value = self.x_valid & self.x_first
        above: dict[str, Any] = {"w": Cat(weights), "w_row": self.w_row, "w_valid": self.w_valid}
        sums: Any = 0
        for index in range(dim):
            row = ArrayRow(dim, self._operand_bits, self._psum_bits)
            m.submodules[f"row{index}"] = row
            m.d.comb += [
                row.x.eq(_delay(m, f"x_skew{index}", self.x[index], index + 1)),
                row.swap.eq(swap),
                row.index.eq(index),
                Value.cast(row.w).eq(above["w"]),
                row.w_row.eq(above["w_row"]),
                row.w_valid.eq(above["w_valid"]),
                Value.cast(row.sums).eq(sums),
            ]
            above = {"w": row.w_next, "w_row": row.w_row_next, "w_valid": row.w_valid_next}
            swap, sums = row.swap_next, row.sums_next
        for column in range(dim):
            leaving = _delay(m, f"y_skew{column}", sums[column], dim - 1 - column)
            m.d.comb += self.y[column].eq(leaving)
        self._valid(m)
        return m

    def _valid(self, m: Module) -> None:
        """A bit for every word on its way."""
        valid = Signal(2 * self._dim + 1)
        m.d.comb += self.y_valid.eq(valid[-1])
        m.d.sync += valid.eq(Cat(self.x_valid, valid))
        with m.If(self.clear):
            m.d.sync += valid.eq(0)


def _delay(m: Module, name: str, value: Value, cycles: int) -> Value:
    """The value some cycles later, through one shift register without reset."""
    if cycles == 0:
        return value
    width = Shape.cast(value.shape()).width
    line = Signal(width * cycles, name=name, reset_less=True)
    m.d.sync += line.eq(Cat(value, line))
    return line[-width:]
