"""Transposed convolutions of feature maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from pulsarray.compiler.ir.operator import Drawn, Operator
from pulsarray.compiler.ir.value import Array, Shape
from pulsarray.compiler.ir.window import Window
from pulsarray.compiler.ops.images import draw_window, image, taps
from pulsarray.errors import InputError

__all__ = ["TransposedConvolution"]


@dataclass(frozen=True)
class TransposedConvolution(
    Operator,
    title="transposed_convolution",
    summary="the gradient of a 2-D convolution by its input, plus bias",
    reads=("x", "weight", "bias"),
    constants=(1, 2),
):
    """The gradient of a convolution by its input: weight (kh, kw, C, N / groups), bias (N,).

    Input pixel ``y`` adds to output rows ``y * stride - top + k * dilation``; the result has
    ``(H - 1) * stride - top - bottom + (kh - 1) * dilation + 1 + output_padding`` rows.
    """

    window: Window
    output_padding: tuple[int, int] = (0, 0)
    groups: int = 1

    def shape(self, *shapes: Shape) -> Shape:
        """Shape of the result, (H', W', N).

        Raises
        ------
        InputError
            If weight, bias, window and input do not fit.
        """
        x, weight, bias = shapes
        height, width, channels = image(x)
        if len(weight) != 4:
            raise InputError(f"weight must have shape (kh, kw, C, N / groups), not {weight}")
        *kernel, depth, part = weight
        if tuple(kernel) != self.window.kernel or depth != channels:
            raise InputError(
                f"weight must have shape {(*self.window.kernel, channels)} and results, "
                f"not {weight}"
            )
        if self.groups < 1 or channels % self.groups:
            raise InputError(f"{channels} channels are not {self.groups} groups")
        if bias != (part * self.groups,):
            raise InputError(f"bias must have shape ({part * self.groups},), not {bias}")
        return (*self._sizes(height, width), part * self.groups)

    def _sizes(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of the result."""
        window, sizes = self.window, []
        for axis, size in enumerate((height, width)):
            cut = window.padding[axis] + window.padding[axis + 2]
            added = self.output_padding[axis] - cut
            sizes.append(window.span(axis, size) + added)
        smallest = min(*window.stride, *window.dilation, *sizes)
        if smallest < 1 or min(window.padding) < 0:
            raise InputError(f"window {window} leaves no output of {(height, width)}")
        return sizes[0], sizes[1]

    def real(self, *arrays: Array) -> Array:
        """One product a kernel element, added where it belongs."""
        x, weight, bias = (array.astype(arrays[0].dtype, copy=False) for array in arrays)
        samples, height, width, _ = x.shape
        canvas = np.zeros(self._canvas(x, weight.shape[3] * self.groups), x.dtype)
        parts = self._grouped(x)
        for row, column, place in taps(self.window, height, width):
            product = parts @ self._matrix(weight[row, column])
            canvas[place] += product.transpose(1, 0, 2).reshape(samples, height, width, -1)
        return np.asarray(canvas[self._inside(height, width)] + bias)

    def _canvas(self, x: Array, count: int) -> Shape:
        """Shape of the result before padding is cut off."""
        window, (samples, height, width, _) = self.window, x.shape
        rows, columns = self._sizes(height, width)
        top, left, *_ = window.padding
        high = max(window.span(0, height), top + rows)
        return samples, high, max(window.span(1, width), left + columns), count

    def _inside(self, height: int, width: int) -> tuple[slice, slice, slice]:
        """Where the result is in it."""
        rows, columns = self._sizes(height, width)
        top, left, *_ = self.window.padding
        return slice(None), slice(top, top + rows), slice(left, left + columns)

    def _grouped(self, maps: Array) -> Array:
        """Maps (samples, H, W, C) as (groups, pixels, C / groups)."""
        return maps.reshape(-1, self.groups, maps.shape[3] // self.groups).transpose(1, 0, 2)

    def _matrix(self, weight: Array) -> Array:
        """Weights (C, N / groups) of one kernel element as (groups, C / groups, N / groups)."""
        return weight.reshape(self.groups, len(weight) // self.groups, -1)

    def gradient(self, arrays: Sequence[Array], result: Array, error: Array) -> list[Array | None]:
        """By x, weight and bias; that by x is a convolution."""
        x, weight, _ = (array.astype(error.dtype, copy=False) for array in arrays)
        _, height, width, channels = x.shape
        canvas = np.zeros(self._canvas(x, error.shape[3]), error.dtype)
        canvas[self._inside(height, width)] = error
        parts, by_weight = self._grouped(x), np.zeros_like(weight)
        by_x = np.zeros_like(parts)
        for row, column, place in taps(self.window, height, width):
            errors = self._grouped(canvas[place])
            by_x += errors @ self._matrix(weight[row, column]).transpose(0, 2, 1)
            slope = parts.transpose(0, 2, 1) @ errors
            by_weight[row, column] = slope.reshape(channels, -1)
        return [by_x.transpose(1, 0, 2).reshape(x.shape), by_weight, error.sum(axis=(0, 1, 2))]

    def macs(self, *shapes: Shape) -> int:
        """One for each weight at each pixel of the input."""
        return prod(shapes[0][:2]) * prod(shapes[1])

    @classmethod
    def draw(cls, rng: np.random.Generator, shape: Shape) -> Drawn | None:
        """A window that leaves a result, one group or two, some rows and columns more."""
        if len(shape) != 3:
            return None
        window = draw_window(rng, *shape[:2])
        groups = int(rng.choice([g for g in (1, 2) if shape[2] % g == 0]))
        more = tuple(int(rng.integers(0, stride)) for stride in window.stride)
        made, part = cls(window, more, groups), int(rng.integers(1, 4))  # type: ignore[arg-type]
        try:
            made._sizes(*shape[:2])
        except InputError:
            return None
        return made, ((*window.kernel, shape[2], part), (part * groups,))
