"""TensorFlow Lite's LOG_SOFTMAX: as its softmax, with the logarithm of the sum, that is subtracted.

The logarithm is a quotient of two polynomials (pulsarray.compiler.numerics.gemmlowp), whose
products of two results go through memory, before and after the reciprocal of the softmax.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar

from pulsarray.compiler.lower.chip import Words
from pulsarray.compiler.lower.lowering import Lowering, lower
from pulsarray.compiler.lower.quotient import emit_later
from pulsarray.compiler.lower.quotient_tile import WHOLE, scaled_by
from pulsarray.compiler.lower.residency import Work
from pulsarray.compiler.lower.softmax import SoftmaxTile, byte_tables
from pulsarray.compiler.numerics.gemmlowp import (
    ALPHA_D,
    ALPHA_F,
    ALPHA_I,
    ALPHA_N,
    LOG_2,
    ONE_LESS,
    ROOT_OF_HALF,
    ROOT_OF_ROOT,
)
from pulsarray.compiler.ops.integer.codes import HIGH, LOW
from pulsarray.compiler.ops.integer.log_softmax import CODE_SHIFT, LogSoftmax
from pulsarray.isa import Alu, VectorFlag

__all__: list[str] = []

_STEPS = (8, 4, 2, 1)
_FREE, _FRACTION = 11, 25
"""Most bits by which a sum is shifted, and bits of an exponent's fraction."""
_RESIDUAL = {"multiplier": 2, "multiplier2": 1, "shift": 2, "flags": int(VectorFlag.RESIDUAL)}
"""A number and half of a scalar, halved: no tie is left where that is odd."""


@lower.register
def _(op: LogSoftmax, lowering: Lowering, work: Work) -> tuple[int, int, int]:
    tables = byte_tables(op.exponentials, lowering.config)
    emit_later(_Tile, op, lowering, work, tables)
    return 0, 0, 0


class _Tile(SoftmaxTile):
    """A tile of it: numbers are differences from the largest code, with 5 integer bits."""

    vectors: ClassVar[int] = 16
    slots: ClassVar[int] = 3

    def sums(self) -> Iterator[None]:
        """Sums of exponentials, then numbers in their place; those left out are far below."""
        yield from super().sums()
        op = self.all.op
        assert isinstance(op, LogSoftmax)
        numbers, least, blocks = self.powers, self._words(1, 0), self.blocks
        fields = {"zero_a": LOW, **self.lanes}
        self.vector(Alu.RSUB, self.codes, numbers, fields, self._largest(), blocks=blocks)
        beyond = {"scalar": op.most, "multiplier": 1 << 30}
        self.vector(Alu.GREATER, numbers, least, beyond, blocks=blocks)
        scaled = {"scalar": 0, **scaled_by(*op.pair)}
        self.vector(Alu.RSUB, numbers, numbers, scaled, blocks=blocks)
        self.vector(Alu.SUB, numbers, numbers, {}, least, blocks=blocks)

    def _result(self, half: Words) -> Iterator[None]:
        """Numbers less the logarithm of the sum."""
        exponent, quotient, groups = self._group(0, 0), self._group(1, 0), self.packing.groups
        self._mantissa(half)
        yield from self._polynomials(half)
        guess = self._group(0, 1)
        yield from self._iterated(half, guess)
        self._lanes(Alu.PASS, guess, guess, {"shift": -1})
        self.way.pass_on("guess", guess, self.way.row + groups, groups)
        yield
        self._by_rows(Alu.PASS, self._group(0, 2), quotient, self.way.row + groups, groups, {})
        self._lanes(Alu.ADD, exponent, exponent, {"shift": -1}, quotient)
        logarithm = self._words(1, 0, 0)
        self._each(exponent, logarithm, {})
        words = Words.of(self.target, self.tile)
        target = replace(words, steps=(words.steps[0], 1, 0, 0))
        fields = {**scaled_by(ONE_LESS, WHOLE + CODE_SHIFT), "zero_target": HIGH, **self.lanes}
        logarithm = replace(logarithm, steps=(0, 2, 0, 0))
        self.vector(Alu.SUB, self.powers, target, fields, logarithm, blocks=self.blocks)

    def _mantissa(self, total: Words) -> None:
        """The sum with all its bits, or that times the root of one half; its exponent's logarithm.

        It is the first if its product with the root of one half has as many bits as itself.
        """
        mantissa, larger, other = self._group(0, 2), self._group(1, 0), self._group(1, 1)
        self._lanes(Alu.PASS, total, mantissa, scaled_by(ROOT_OF_HALF))
        exponent = self._shifted(total, WHOLE, _STEPS, _FREE, beside=mantissa)
        self._lanes(Alu.GREATER, mantissa, larger, {"scalar": (1 << (WHOLE - 1)) - 1})
        self._lanes(Alu.PASS, exponent, exponent, {"shift": -_FRACTION})
        self._lanes(Alu.PASS, larger, other, {"shift": 1 - _FRACTION})
        self._lanes(Alu.ADD, exponent, exponent, {}, other)
        self._lanes(Alu.ADD, exponent, exponent, {"scalar": 1 << (_FRACTION - 2)})
        self._lanes(Alu.PASS, exponent, exponent, scaled_by(LOG_2))
        self._lanes(Alu.PASS, total, other, scaled_by(ROOT_OF_HALF))
        self._lanes(Alu.PASS, other, other, {"shift": -1})
        self._lanes(Alu.SUB, total, mantissa, {}, other)
        self._lanes(Alu.GATE, mantissa, mantissa, {}, larger)
        self._lanes(Alu.ADD, mantissa, mantissa, {}, other)

    def _polynomials(self, half: Words) -> Iterator[None]:
        """Of the mantissa: the dividend in its place, and half of one more than the divisor."""
        groups, row, second = self.packing.groups, self.way.row, self.way.row + self.packing.groups
        q, dividend = self._group(0, 1), self._group(0, 2)
        square, p = self._group(1, 0), self._group(1, 1)
        self._lanes(Alu.ADD, dividend, q, {"scalar": -ROOT_OF_ROOT})
        self._lanes(Alu.PASS, q, p, {**_RESIDUAL, "scalar": 1})
        self._lanes(Alu.ADD, p, p, {"scalar": ROOT_OF_ROOT})
        self._lanes(Alu.PASS, q, q, {"shift": -1})
        self._lanes(Alu.RSUB, q, square, {"scalar": 0})
        self._lanes(Alu.MAX, square, square, {}, q)  # the magnitude, for multipliers have no sign
        self.way.pass_on("half", square, row, groups)
        self.way.pass_on("guess", dividend, second, groups)
        yield
        self._by_rows(Alu.PASS, square, square, row, groups, {})
        self._by_rows(Alu.PASS, q, dividend, second, groups, {})
        self.way.pass_on("half", square, row, groups)
        self.way.pass_on("guess", p, second, groups)
        yield
        self._by_rows(Alu.PASS, q, p, row, groups, {})
        self._lanes(Alu.PASS, p, p, scaled_by(ALPHA_N))
        self._lanes(Alu.ADD, dividend, dividend, {}, p)
        self._lanes(Alu.PASS, dividend, dividend, scaled_by(ONE_LESS, WHOLE + 6))
        self._lanes(Alu.PASS, square, square, scaled_by(ALPHA_D))
        self._lanes(Alu.ADD, square, square, {}, q)
        self._lanes(Alu.ADD, square, square, {"scalar": ALPHA_I})
        self._by_rows(Alu.PASS, square, square, second, groups, {})
        self._lanes(Alu.PASS, q, q, scaled_by(ALPHA_F))
        self._lanes(Alu.ADD, square, square, {}, q)
        self._lanes(Alu.PASS, square, half, {**_RESIDUAL, "scalar": -1})
        self._lanes(Alu.ADD, half, half, {"scalar": 1 << (WHOLE - 1)})
