"""Convolutions of feature maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from pulsarray.compiler.ir.mantissas import Part, Rounding
from pulsarray.compiler.ir.operator import Drawn, Operator
from pulsarray.compiler.ir.value import Array, Shape
from pulsarray.compiler.ir.window import Window
from pulsarray.compiler.ops.exact import affine
from pulsarray.compiler.ops.images import draw_window, image, padded, taps, unpadded
from pulsarray.errors import InputError

__all__ = ["Convolution"]

_FEW_CHANNELS = 16
"""Below so many channels a copy of all windows is faster than one product a kernel element."""


@dataclass(frozen=True)
class Convolution(
    Operator,
    title="convolution",
    summary="2-D convolution (cross-correlation) plus bias",
    reads=("x", "weight", "bias"),
    constants=(1, 2),
):
    """2-D convolution (cross-correlation): weight (kh, kw, C / groups, N), bias (N,).

    Parameters
    ----------
    window
        What the kernel sees; its size must be that of the weight.
    groups
        Into how many the channels are split; results of one see only its own.
    """

    window: Window
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
            raise InputError(f"weight must have shape (kh, kw, C / groups, N), not {weight}")
        *kernel, depth, count = weight
        if tuple(kernel) != self.window.kernel:
            raise InputError(f"weight must have a kernel of {self.window.kernel}, not {kernel}")
        if self.groups < 1 or depth * self.groups != channels or count % self.groups:
            raise InputError(
                f"{self.groups} groups of {depth} channels and {count} results do not fit an "
                f"input of {channels} channels"
            )
        if bias != (count,):
            raise InputError(f"bias must have shape ({count},), not {bias}")
        return (*self.window.output(height, width), count)

    def real(self, *arrays: Array) -> Array:
        """As one product a kernel element, or one with a copy of all windows."""
        x, weight, bias = (array.astype(arrays[0].dtype, copy=False) for array in arrays)
        depth, count = weight.shape[2:]
        if depth == 1 and count == self.groups:
            return np.asarray(sum(v * weight[r, c, 0] for r, c, v in self._views(x)) + bias)
        if self.groups == 1 and depth < _FEW_CHANNELS:
            sums = self._patched(x, weight)
        elif self.groups == 1:
            sums = self._summed(x, weight)
        else:
            sums = self._grouped(x, weight)
        rows, columns = self.window.output(x.shape[1], x.shape[2])
        return np.asarray(sums.reshape(len(x), rows, columns, count) + bias)

    def mantissas(self, parts: Sequence[Part], rounding: Rounding) -> Part:
        """Exact sums, rounded once."""
        return rounding.rounded(*affine(self.real, parts))

    def _views(self, x: Array) -> list[tuple[int, int, Array]]:
        """For each kernel element what it sees, (samples, H', W', C), in all windows."""
        rows, columns = self.window.output(x.shape[1], x.shape[2])
        around = padded(x, self.window.padding)
        return [(r, c, around[place]) for r, c, place in taps(self.window, rows, columns)]

    def _patched(self, x: Array, weight: Array) -> Array:
        patches = np.concatenate([view for *_, view in self._views(x)], axis=-1)
        count = weight.shape[3]
        return np.asarray(patches.reshape(-1, weight.size // count) @ weight.reshape(-1, count))

    def _summed(self, x: Array, weight: Array) -> Array:
        views = self._views(x)
        depth, count = weight.shape[2:]
        sums = np.zeros((views[0][2].size // depth, count), x.dtype)
        for r, c, view in views:
            sums += view.reshape(-1, depth) @ weight[r, c]
        return sums

    def _grouped(self, x: Array, weight: Array) -> Array:
        views, groups = self._views(x), self.groups
        depth, count = weight.shape[2:]
        pixels = views[0][2].size // (groups * depth)
        sums = np.zeros((groups, pixels, count // groups), x.dtype)
        for r, c, view in views:
            parts = view.reshape(-1, groups, depth).transpose(1, 0, 2)
            sums += parts @ weight[r, c].reshape(depth, groups, -1).transpose(1, 0, 2)
        return sums.transpose(1, 0, 2)

    def gradient(self, arrays: Sequence[Array], result: Array, error: Array) -> list[Array | None]:
        """By x, weight and bias: one product a group of the windows, one with the filters."""
        return [self.gradient_by(place, arrays, result, error) for place in range(3)]

    def gradient_by(
        self, place: int, arrays: Sequence[Array], result: Array, error: Array
    ) -> Array | None:
        """One of them."""
        x, weight, _ = (array.astype(error.dtype, copy=False) for array in arrays)
        flat = error.reshape(-1, error.shape[3])
        if place == 2:
            return np.asarray(flat.sum(axis=0))
        errors = np.split(flat, self.groups, axis=1)
        if place == 1:
            return self._by_weight(x, weight.shape, errors)
        return self._by_input(x, weight, errors)

    def gradient_reads(self, place: int) -> tuple[int, ...]:
        """By the input the weight, by the weight the input."""
        return {0: (1,), 1: (0,)}.get(place, ())

    def _by_weight(self, x: Array, shape: Shape, errors: Sequence[Array]) -> Array:
        views = self._views(x)
        kernel, (depth, count) = self.window.kernel, shape[2:]
        seen = np.stack([view for *_, view in views], axis=3)
        parts = np.split(seen, self.groups, axis=-1)
        matrices = [part.reshape(len(errors[0]), -1) for part in parts]
        shape = (*kernel, depth, count // self.groups)
        slopes = [(m.T @ e).reshape(shape) for m, e in zip(matrices, errors, strict=True)]
        return np.concatenate(slopes, axis=3)

    def _by_input(self, x: Array, weight: Array, errors: Sequence[Array]) -> Array:
        rows, columns = self.window.output(x.shape[1], x.shape[2])
        kernel, (depth, count) = self.window.kernel, weight.shape[2:]
        filters = np.split(weight, self.groups, axis=3)
        shape = (len(x), rows, columns, *kernel, depth)
        matrices = [part.reshape(-1, count // self.groups) for part in filters]
        spread = np.concatenate(
            [(e @ m.T).reshape(shape) for m, e in zip(matrices, errors, strict=True)], axis=-1
        )
        around = np.zeros_like(padded(x, self.window.padding))
        for r, c, place in taps(self.window, rows, columns):
            around[place] += spread[:, :, :, r, c]
        return unpadded(around, self.window.padding)

    def macs(self, *shapes: Shape) -> int:
        """One for each weight at each pixel of the result."""
        return prod(self.window.output(*shapes[0][:2])) * prod(shapes[1])

    @classmethod
    def draw(cls, rng: np.random.Generator, shape: Shape) -> Drawn | None:
        """A window that fits a map, one group, or two, or one a channel."""
        if len(shape) != 3:
            return None
        window = draw_window(rng, *shape[:2])
        groups = int(rng.choice([g for g in (1, 2, shape[2]) if shape[2] % g == 0]))
        count = groups * int(rng.integers(1, 4))
        return cls(window, groups), ((*window.kernel, shape[2] // groups, count), (count,))
