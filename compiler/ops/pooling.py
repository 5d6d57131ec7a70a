"""Pooling of feature maps: the largest or the mean of what a window sees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pulsarray.compiler.ir.mantissas import Exact, Part, Rounding
from pulsarray.compiler.ir.operator import Drawn, Operator
from pulsarray.compiler.ir.value import Array, Shape
from pulsarray.compiler.ir.window import Window
from pulsarray.compiler.numerics.mantissas import factor, in_floats
from pulsarray.compiler.ops.images import draw_window, image, padded, taps, unpadded
from pulsarray.errors import InputError

__all__ = ["AveragePool", "MaxPool"]


@dataclass(frozen=True)
class _Pool(Operator):
    """What both have in common."""

    window: Window

    def shape(self, *shapes: Shape) -> Shape:
        """Shape of the result.

        Raises
        ------
        InputError
            If window and input do not fit, or an output sees padding alone.
        """
        height, width, channels = image(shapes[0])
        window = self.window
        top, left, bottom, right = window.padding
        if max(top, bottom) >= window.extent(0) or max(left, right) >= window.extent(1):
            raise InputError(
                f"padding {window.padding} must be less than the window {window.kernel}"
            )
        return (*window.output(height, width), channels)

    def _is_global(self, x: Array) -> bool:
        return self.window.kernel == x.shape[1:3] and not any(self.window.padding)

    def _places(self, x: Array) -> list[tuple[slice, slice, slice]]:
        """For each kernel element where all windows see it in padded maps."""
        rows, columns = self.window.output(x.shape[1], x.shape[2])
        return [place for *_, place in taps(self.window, rows, columns)]

    @classmethod
    def draw(cls, rng: np.random.Generator, shape: Shape) -> Drawn | None:
        """A window that fits a map, one in four all of it."""
        if len(shape) != 3:
            return None
        if rng.integers(4) == 0:
            return cls(Window((shape[0], shape[1]))), ()
        return cls(draw_window(rng, *shape[:2])), ()


class MaxPool(_Pool, title="max_pool", summary="the largest value in each window", reads=("x",)):
    """The largest value that a window sees of each channel; padding never counts."""

    only_chooses = True
    has_kinks = True
    keeps_result = True

    def is_apart(self, shape: Shape) -> bool:
        """Whether, of maps of a shape, no value is in two windows, and there is no padding."""
        window = self.window
        plain = not any(window.padding) and window.dilation == (1, 1)
        return plain and window.kernel in (window.stride, shape[:2])

    def real(self, *arrays: Array) -> Array:
        """The largest of all kernel elements' views."""
        (x,) = arrays
        if self._is_global(x):
            return np.asarray(x.max(axis=(1, 2), keepdims=True))
        around = padded(x, self.window.padding, -np.inf)
        first, *others = self._places(x)
        result = around[first].copy()
        for place in others:
            np.maximum(result, around[place], out=result)
        return result

    def gradient(self, arrays: Sequence[Array], result: Array, error: Array) -> list[Array | None]:
        """To the first of equal values."""
        (x,) = arrays
        around = padded(x, self.window.padding, -np.inf)
        by_x, left = np.zeros_like(around), error.copy()
        for place in self._places(x):
            is_largest = around[place] == result
            by_x[place] += left * is_largest
            left *= ~is_largest
        return [unpadded(by_x, self.window.padding)]

    def mantissas(self, parts: Sequence[Part], rounding: Rounding) -> Part:
        """The same of integers."""
        ((x, exponent),) = parts
        return in_floats(self.real, x), exponent

    def gradient_mantissas(
        self, gradient: Exact, parts: Sequence[Part], rounding: Rounding
    ) -> Part:
        """The error's own values."""
        (x, _), (result, _), (error, exponent) = parts
        return in_floats(gradient.real, x, result, error), exponent


@dataclass(frozen=True)
class AveragePool(_Pool, title="average_pool", summary="the mean of each window", reads=("x",)):
    """The mean of what a window sees of each channel.

    With ``include_padding`` padding counts as zeros, else it does not count.
    """

    include_padding: bool = False

    @property
    def share(self) -> float:
        """What an element of a window without padding counts."""
        return 1.0 / (self.window.kernel[0] * self.window.kernel[1])

    def real(self, *arrays: Array) -> Array:
        """The sum of all kernel elements' views, divided by how many count."""
        (x,) = arrays
        window = self.window
        if self._is_global(x):
            return np.asarray(x.mean(axis=(1, 2), keepdims=True))
        total = self.total(x)
        if self.include_padding or not any(window.padding):
            return np.asarray(total / (window.kernel[0] * window.kernel[1]))
        return np.asarray(total / self.total(np.ones((1, *x.shape[1:3], 1), x.dtype)))

    def total(self, x: Array) -> Array:
        """The sum of what each window sees."""
        around = padded(x, self.window.padding)
        return np.asarray(sum(around[place] for place in self._places(x)))

    def gradient(self, arrays: Sequence[Array], result: Array, error: Array) -> list[Array | None]:
        """The same part to all that count."""
        (x,) = arrays
        ones = np.ones((1, *x.shape[1:3], 1), x.dtype)
        counts = padded(ones, self.window.padding, float(self.include_padding))
        share = x.dtype.type(1.0) / np.sum([counts[place] for place in self._places(x)], axis=0)
        return [self.spread(error * share, x.shape[1:])]

    def mantissas(self, parts: Sequence[Part], rounding: Rounding) -> Part:
        """Exact sums times the share, rounded once."""
        (share, e_share), ((x, e_x),) = factor(self.share, "share"), parts
        return rounding.rounded(self.total(x) * share, e_x + e_share)

    def gradient_mantissas(
        self, gradient: Exact, parts: Sequence[Part], rounding: Rounding
    ) -> Part:
        """The error times the share, spread, rounded once."""
        (share, e_share), ((error, e_error),) = factor(self.share, "share"), parts
        spread = self.spread(error * share, gradient.shapes[0])
        return rounding.rounded(spread, e_error + e_share)

    def spread(self, parts: Array, shape: Shape) -> Array:
        """What each window has for all that it sees of maps of a shape, added up."""
        by_x = padded(np.zeros((len(parts), *shape), parts.dtype), self.window.padding)
        for place in self._places(np.broadcast_to(0, (1, *shape))):
            by_x[place] += parts
        return unpadded(by_x, self.window.padding)

    def gradient_reads(self, place: int) -> tuple[int, ...]:
        """Nothing."""
        return ()

    @classmethod
    def draw(cls, rng: np.random.Generator, shape: Shape) -> Drawn | None:
        """As of all pooling, padding counted or not."""
        drawn = super().draw(rng, shape)
        return drawn and (cls(drawn[0].window, bool(rng.integers(2))), ())  # type: ignore[attr-defined]
