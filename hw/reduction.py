"""Maximum or sum over the lanes of a word."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Const, Elaboratable, Module, Mux, Signal, Value, signed
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from pulsarray.hw.rounding import saturate
from pulsarray.hw.shared import Shared

__all__ = ["Reduction"]


class Reduction(Shared):
    """A word's maximum or saturated sum in place of every lane that counts, or the word itself.

    Parameters
    ----------
    dim, bits
        Lanes and their width.

    Members
    -------
    lanes, count
        A word, and how many of its lanes count; the others become 0.
    is_max, is_sum
        The reduction, or none.
    result
        The word that results, in the same cycle.
    """

    def __init__(self, *, dim: int, bits: int) -> None:
        self._dim, self._bits = dim, bits
        lanes = data.ArrayLayout(signed(bits), dim)
        super().__init__(
            {
                "lanes": In(lanes),
                "count": In(range(dim + 1)),
                "is_max": In(1),
                "is_sum": In(1),
                "result": Out(lanes),
            },
            dim=dim,
            bits=bits,
        )

    def body(self, platform: Any) -> Elaboratable:
        """A tree of nodes that add or compare."""
        m = Module()
        width = self._bits + (self._dim - 1).bit_length()
        counted = [self.count > lane for lane in range(self._dim)]
        ignored = Mux(self.is_sum, 0, Const(-(1 << (self._bits - 1)), signed(self._bits)))
        level: list[Value] = [
            Mux(is_in, lane, ignored) for is_in, lane in zip(counted, self.lanes, strict=True)
        ]
        number = 0
        while len(level) > 1:
            pairs, rest = level[: len(level) // 2 * 2], level[len(level) // 2 * 2 :]
            level = []
            for a, b in zip(pairs[::2], pairs[1::2], strict=True):
                m.submodules[f"node{number}"] = node = ReductionNode(bits=width)
                m.d.comb += [node.a.eq(a), node.b.eq(b), node.is_sum.eq(self.is_sum)]
                level.append(node.result)
                number += 1
            level += rest
        total = Signal(signed(self._bits))
        m.d.comb += total.eq(saturate(level[0], self._bits))
        for lane in range(self._dim):
            value = Mux(self.is_max | self.is_sum, total, self.lanes[lane])
            m.d.comb += self.result[lane].eq(Mux(counted[lane], value, 0))
        return m


class ReductionNode(Shared):
    """One node of the tree.

    Parameters
    ----------
    bits
        Width, enough for the sum of all lanes.

    Members
    -------
    a, b, is_sum, result
        ``a + b`` or the larger of both.
    """

    def __init__(self, *, bits: int) -> None:
        operand = signed(bits)
        super().__init__(
            {"a": In(operand), "b": In(operand), "is_sum": In(1), "result": Out(operand)},
            bits=bits,
        )

    def body(self, platform: Any) -> Elaboratable:
        """One adder and one comparison."""
        m = Module()
        larger = Mux(self.a > self.b, self.a, self.b)
        m.d.comb += self.result.eq(Mux(self.is_sum, self.a + self.b, larger))
        return m
