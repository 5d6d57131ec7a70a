"""Maxima and means of codes over windows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pulsarray.compiler.ir.formats import Format
from pulsarray.compiler.ir.needs import Needs, Pair
from pulsarray.compiler.ir.operator import Operator
from pulsarray.compiler.ir.value import Array, Shape
from pulsarray.compiler.ir.window import Window
from pulsarray.compiler.numerics.fixed_point import fixed_point
from pulsarray.compiler.numerics.rounding import requantize
from pulsarray.compiler.ops.integer.codes import HIGH, LOW, Ints, zero_of
from pulsarray.compiler.ops.integer.windows import padded, seen_size, taps

__all__ = ["AveragePool", "MaxPool", "count_scale"]

_LEAST = LOW - 1
"""Below every code: padding never is a maximum."""


@dataclass(frozen=True, eq=False)
class MaxPool(Operator, title="int8_max_pool", summary="largest code of each window", reads=("x",)):
    """The largest code of each window and channel; input and result have one quantization."""

    window: Window
    low: int = LOW
    high: int = HIGH

    def shape(self, *shapes: Shape) -> Shape:
        """(H', W', C)."""
        return _pooled(self.window, shapes[0])

    def integer(self, arrays: Sequence[Array], formats: Sequence[Format], result: Format) -> Array:
        """The largest code."""
        inside = padded(self.window, arrays[0], _LEAST)
        size = seen_size(self.window, inside)
        largest = np.full((len(inside), *size, inside.shape[3]), float(_LEAST))
        for _, _, tap in taps(self.window, inside):
            np.maximum(largest, tap, out=largest)
        return np.clip(largest.astype(np.int64), self.low, self.high)


@dataclass(frozen=True, eq=False)
class AveragePool(
    Operator, title="int8_average_pool", summary="mean of the codes of each window", reads=("x",)
):
    """``clip(offset + rne(sum of (code - zero) * multiplier, shift))`` of each window and channel.

    Parameters
    ----------
    window
        What is seen.
    include_padding
        Whether padding, which is zeros, counts as elements.
    scales
        Multiplier and shift for each number of elements that a window may see (with
        ``include_padding`` the kernel's only): see :func:`count_scale`.
    offset
        What is added to the scaled sum: the result's zero point.
    raw
        Whether the codes themselves are averaged: ``zero`` is then 0, else the input's.
    """

    window: Window
    include_padding: bool
    scales: Mapping[int, Pair]
    offset: int
    low: int = LOW
    high: int = HIGH
    raw: bool = False

    def shape(self, *shapes: Shape) -> Shape:
        """(H', W', C)."""
        return _pooled(self.window, shapes[0])

    def zero(self, form: Format) -> int:
        """What is taken from each code."""
        return 0 if self.raw else zero_of(form)

    def integer(self, arrays: Sequence[Array], formats: Sequence[Format], result: Format) -> Array:
        """The scaled sum, by the number of elements."""
        inside = padded(self.window, arrays[0] - self.zero(formats[0]), 0)
        sums = sum(tap for _, _, tap in taps(self.window, inside))
        multiplier, shift = self._scales(arrays[0].shape)
        scaled = requantize(np.asarray(sums).astype(np.int64), multiplier, shift)
        return np.clip(scaled + self.offset, self.low, self.high)

    def _scales(self, shape: Shape) -> tuple[Ints, Ints]:
        """Multiplier and shift of each result, (1, H', W', 1)."""
        ones = np.ones((1, *shape[1:3], 1))
        inside = padded(self.window, ones, int(self.include_padding))
        counts = np.asarray(sum(tap for _, _, tap in taps(self.window, inside)))
        multiplier, shift = np.empty(counts.shape, np.int64), np.empty(counts.shape, np.int64)
        for count in np.unique(counts):
            place = counts == count
            # A window that sees padding alone has the sum 0, whatever its scale.
            multiplier[place], shift[place] = self.scales[int(count)] if count else (0, 0)
        return multiplier, shift

    @property
    def needs(self) -> Needs:
        """Its multipliers, and the identity, through which sums are made."""
        largest = max(multiplier for multiplier, _ in self.scales.values())
        return Needs(multiplier=largest, identity=True)


def count_scale(count: int, ratio: float = 1.0, *, away: bool = False) -> Pair:
    """Multiplier and shift of a mean over ``count`` elements times ``ratio``.

    With ``away`` (and ratio 1) sums half way between two codes are rounded away from zero, as in
    TensorFlow Lite: the multiplier is a hair larger than 1 / count, so no sum is half way any
    more and every other rounds as it would (|sum| <= 128 * count, count below 2^15).
    """
    if not away:
        return fixed_point(ratio / count, 31)
    shift = 30 + (count - 1).bit_length()
    return (1 << shift) // count + 1, shift


def _pooled(window: Window, shape: Shape) -> Shape:
    height, width, channels = shape
    return (*window.output(height, width), channels)
