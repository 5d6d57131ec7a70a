"""TensorFlow Lite's L2_NORMALIZATION: as its softmax, with the inverse root of a sum of squares."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

import numpy as np

from pulsarray.compiler.lower.chip import Words
from pulsarray.compiler.lower.lowering import Lowering, lower
from pulsarray.compiler.lower.quotient import emit_later
from pulsarray.compiler.lower.quotient_tile import Tile, scaled_by
from pulsarray.compiler.lower.residency import Work
from pulsarray.compiler.numerics.gemmlowp import ROOT_OF_HALF, THREE_HALVES
from pulsarray.compiler.ops.integer.normalize import SUM_BITS, Normalize
from pulsarray.isa import Alu, Reduce, VectorFlag

__all__: list[str] = []

_PAIRS = (16, 8, 4, 2)
_SHIFT = 34
"""Shift of the product where a sum has all its bits."""


@lower.register
def _(op: Normalize, lowering: Lowering, work: Work) -> tuple[int, int, int]:
    emit_later(_Tile, op, lowering, work, np.zeros((0, 0), np.int8))
    return 0, 0, 0


class _Tile(Tile):
    """A tile of it: numbers are codes less zero points, the negatives where these are above 0."""

    iterations: ClassVar[int] = 4
    vectors: ClassVar[int] = 6
    scaled: ClassVar[Mapping[str, int]] = scaled_by(ROOT_OF_HALF)

    def sums(self) -> Iterator[None]:
        """Sums of squares of v: products with codes, ``v * (v + zero)``, less ``v * zero``."""
        zero, blocks, squares = self.all.zero, self.blocks, self._words(1, 0)
        alu, fields = (Alu.RSUB, {"scalar": zero}) if zero > 0 else (Alu.PASS, {"zero_a": zero})
        self.vector(alu, self.codes, self.powers, fields | self.lanes, blocks=blocks)
        yield
        self.vector(Alu.PASS, self.codes, squares, self.lanes, blocks=blocks)
        self.vector(Alu.MUL, self.codes, squares, {"zero_a": zero}, squares, blocks=blocks)
        yield
        if zero:
            factor = {"multiplier2": abs(zero), "flags": int(VectorFlag.RESIDUAL)}
            self.vector(Alu.PASS, squares, squares, factor, self.powers, blocks=blocks)
        self._across(Alu.ADD, squares, self.total, Reduce.SUM, {})
        self._in_all_lanes()

    def _normalized(self, total: Words) -> Words:
        """Shift the sum by pairs of bits until it has as many as it can have, or one less."""
        return self._shifted(total, SUM_BITS, _PAIRS, _SHIFT, unit=2)

    def _iterated(self, half: Words, guess: Words) -> Iterator[None]:
        """Newton's iteration from one on, whose first step needs no product of two numbers."""
        groups, row, more = self.packing.groups, self.way.row, self._group(1, 0)
        self._lanes(Alu.PASS, half, more, scaled_by(1 << 28))
        self._lanes(Alu.RSUB, more, guess, {"scalar": THREE_HALVES >> 3, "shift": -3})
        self.way.pass_on("half", half, row, groups)
        for _ in range(self.iterations):
            self.way.pass_on("guess", guess, row + groups, groups)
            yield
            self._by_rows(Alu.PASS, guess, more, row + groups, groups, {})
            self._by_rows(Alu.PASS, more, more, row + groups, groups, {})
            self._lanes(Alu.PASS, more, more, {"shift": -6})
            self._by_rows(Alu.PASS, more, more, row, groups, {})
            self._lanes(Alu.PASS, guess, guess, scaled_by(THREE_HALVES))
            self._lanes(Alu.SUB, guess, guess, {"shift": -3}, more)

    def _last(self) -> tuple[Alu, Mapping[str, int]]:
        return (Alu.RSUB, {"scalar": 0}) if self.all.zero > 0 else (Alu.PASS, {})
