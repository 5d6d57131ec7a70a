"""Sums of two maps of codes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pulsarray.compiler.ir.formats import Format
from pulsarray.compiler.ir.needs import Needs, Pair
from pulsarray.compiler.ir.value import Array
from pulsarray.compiler.numerics.rounding import high_multiply, round_half_even, rounding_shift
from pulsarray.compiler.ops.integer.codes import HIGH, LOW, Ints, zero_of
from pulsarray.compiler.ops.integer.elementwise import Alike

__all__ = ["Add", "TfliteAdd"]

_LEFT = 20
"""Bits by which TensorFlow Lite's ADD shifts codes left."""


@dataclass(frozen=True)
class Add(
    Alike, title="int8_add", summary="codes plus codes, element by element", reads=("a", "b")
):
    """``clip(offset + rne((a - zero_a) * factors[0] + (b - zero_b) * factors[1], shift))``.

    Factors are unsigned, of at most 31 bits.
    """

    factors: tuple[int, int]
    shift: int
    offset: int
    low: int = LOW
    high: int = HIGH

    def integer(self, arrays: Sequence[Array], formats: Sequence[Format], result: Format) -> Array:
        """The scaled sum, rounded once."""
        first, second = (
            (codes - zero_of(form)) * factor
            for codes, form, factor in zip(arrays, formats, self.factors, strict=True)
        )
        total = round_half_even(first + second, np.asarray(self.shift, np.int64))
        return np.clip(total + self.offset, self.low, self.high)

    @property
    def needs(self) -> Needs:
        """Its factors."""
        return Needs(multiplier=max(self.factors), residual=True)


@dataclass(frozen=True)
class TfliteAdd(
    Alike, title="int8_tflite_add", summary="TensorFlow Lite's int8 ADD", reads=("a", "b")
):
    """TensorFlow Lite's int8 ADD, to the bit.

    Each input: ``t = (code - zero) * 2^20``, ``u = rounding shift(high multiply(t, m), s - 31)``;
    then the same of ``u_a + u_b`` with ``total``, plus ``offset``, clipped. (m, s) mean
    ``m / 2^s`` with m of 31 bits (the highest set) and s >= 31.
    """

    scales: tuple[Pair, Pair]
    total: Pair
    offset: int
    low: int = LOW
    high: int = HIGH

    def integer(self, arrays: Sequence[Array], formats: Sequence[Format], result: Format) -> Array:
        """The sum, rounded three times."""
        first, second = (
            _scaled((codes - zero_of(form)) << _LEFT, scale)
            for codes, form, scale in zip(arrays, formats, self.scales, strict=True)
        )
        scaled = _scaled(first + second, self.total)
        return np.clip(scaled + self.offset, self.low, self.high)

    @property
    def needs(self) -> Needs:
        """Its multipliers and roundings."""
        largest = max(multiplier for multiplier, _ in (*self.scales, self.total))
        return Needs(multiplier=largest, tflite=True, addition=self.scales, residual=True)


def _scaled(values: Ints, scale: Pair) -> Ints:
    return rounding_shift(high_multiply(values, scale[0]), scale[1] - 31)
