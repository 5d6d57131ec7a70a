"""Convolutions of codes; a dense layer is one whose kernel is its whole input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np

from pulsarray.compiler.ir.formats import Format, Integers
from pulsarray.compiler.ir.needs import Needs
from pulsarray.compiler.ir.operator import Operator
from pulsarray.compiler.ir.value import Array, Shape
from pulsarray.compiler.ir.window import Window
from pulsarray.compiler.ops.integer.codes import Ints, zero_of
from pulsarray.compiler.ops.integer.scale import Residual, Scale
from pulsarray.compiler.ops.integer.windows import padded, seen_size, taps
from pulsarray.errors import InputError

__all__ = ["Convolution", "TransposedConvolution"]


@dataclass(frozen=True, eq=False)
class Convolution(
    Operator,
    title="int8_convolution",
    summary="window product of codes",
    reads=("x", "weight", "bias", "second?"),
    constants=(1, 2),
):
    """``sum[y, x, n] = bias[n] + sum of (input - zero) * weight`` over the window and channels.

    Inputs: a map (H, W, C); int8 weights (kh, kw, C / groups, N); biases (N,) in units of the
    sums; with ``residual`` a map of the result's shape. Padding counts as the input's zero point,
    that is nothing.

    Parameters
    ----------
    window, groups
        What is seen, and groups of channels.
    scale
        How sums become codes; None where they are the result themselves.
    residual
        How a map is added before rounding; None without. Needs ``scale.tflite`` off.
    """

    window: Window
    groups: int
    scale: Scale | None
    residual: Residual | None = None

    def shape(self, *shapes: Shape) -> Shape:
        """(H', W', N)."""
        (height, width, channels), (*kernel, depth, count) = shapes[:2]
        if tuple(kernel) != self.window.kernel:
            raise InputError(f"weight {shapes[1]} does not fit a kernel of {self.window.kernel}")
        if depth * self.groups != channels or count % self.groups:
            raise InputError(f"weight {shapes[1]} does not fit {shapes[0]}")
        result = (*self.window.output(height, width), count)
        _check_bias(shapes[2], count)
        if len(shapes) != 3 + (self.residual is not None) or shapes[3:] not in ((), (result,)):
            raise InputError(f"{shapes[3:]} cannot be added to a result of {result}")
        return result

    def integer(self, arrays: Sequence[Array], formats: Sequence[Format], result: Format) -> Array:
        """Sums, or their codes."""
        sums = self._sums(arrays[0] - zero_of(formats[0]), arrays[1]) + arrays[2]
        _check_sums(self.scale, result)
        if self.scale is None:
            return sums
        if self.residual is None:
            return self.scale.codes(sums)
        return self.scale.codes_with(sums, self.residual, arrays[3] - zero_of(formats[3]))

    def _sums(self, values: Ints, weight: Array) -> Ints:
        """Sums of products; all are integers far below 2^53, so float64 is exact, and fast."""
        inside = padded(self.window, values, 0)
        groups, (*_, depth, count) = self.groups, weight.shape
        sums = np.zeros((len(values), *seen_size(self.window, inside), count))
        for y, x, tap in taps(self.window, inside):
            part = weight[y, x].astype(np.float64)
            if groups == 1:
                sums += np.tensordot(tap, part, 1)
            elif depth == 1:
                sums += np.repeat(tap, count // groups, axis=3) * part[0]
            else:
                sums += _grouped(tap, part, groups).reshape(sums.shape)
        return sums.astype(np.int64)

    def macs(self, *shapes: Shape) -> int:
        """Every weight for every pixel of the result."""
        return prod(self.shape(*shapes)[:2]) * prod(shapes[1])

    @property
    def needs(self) -> Needs:
        """Those of its scale, with the residual's multipliers."""
        needs = Needs() if self.scale is None else self.scale.needs
        if self.scale is None or self.residual is None:
            return needs
        step = 1 << max(0, self.residual.shift - self.scale.fine)
        widest = max(needs.multiplier, self.residual.factor, step)
        return replace(needs, multiplier=widest, residual=True)


def _grouped(tap: Array, weight: Array, groups: int) -> Array:
    """One product of matrices for each group: weight (depth, groups, count / groups)."""
    depth, count = weight.shape
    parts = np.moveaxis(tap.reshape(*tap.shape[:3], groups, depth), 3, 0)
    shares = np.moveaxis(weight.reshape(depth, groups, count // groups), 1, 0)
    product = parts.reshape(groups, -1, depth) @ shares
    return np.asarray(np.moveaxis(product, 0, 1))


@dataclass(frozen=True, eq=False)
class TransposedConvolution(
    Operator,
    title="int8_transposed_convolution",
    summary="window product of codes that spreads each pixel",
    reads=("x", "weight", "bias"),
    constants=(1, 2),
):
    """Input pixel ``y`` adds ``(input - zero) * weight`` to rows ``y * stride - top + k * d``.

    Inputs: a map (H, W, C); int8 weights (kh, kw, C, N / groups), where group g of the channels
    makes group g of the results; biases (N,) in units of the sums. Padding is cut off the result;
    a negative one adds rows that no pixel reaches.
    """

    window: Window
    groups: int
    scale: Scale

    def shape(self, *shapes: Shape) -> Shape:
        """(H', W', N)."""
        (height, width, channels), (*kernel, depth, count) = shapes[:2]
        if tuple(kernel) != self.window.kernel:
            raise InputError(f"weight {shapes[1]} does not fit a kernel of {self.window.kernel}")
        if depth != channels or channels % self.groups:
            raise InputError(f"weight {shapes[1]} does not fit {shapes[0]}")
        _check_bias(shapes[2], count * self.groups)
        full, window = self._full(height, width), self.window
        rows, columns = (full[i] - window.padding[i] - window.padding[i + 2] for i in range(2))
        return rows, columns, count * self.groups

    def _full(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns that pixels reach."""
        window = self.window
        return window.span(0, height), window.span(1, width)

    def integer(self, arrays: Sequence[Array], formats: Sequence[Format], result: Format) -> Array:
        """Codes of the sums."""
        _check_sums(self.scale, result)
        return self.scale.codes(self._sums(arrays[0] - zero_of(formats[0]), arrays[1]) + arrays[2])

    def _sums(self, values: Ints, weight: Array) -> Ints:
        """Sums of products, in float64, which is exact."""
        window, (samples, height, width, channels) = self.window, values.shape
        per_group, depth = weight.shape[3], channels // self.groups
        full = self._full(height, width)
        top, left, bottom, right = window.padding
        rows, columns = full[0] - top - bottom, full[1] - left - right
        border = [max(top + rows, full[0]), max(left + columns, full[1])]
        sums = np.zeros((samples, *border, self.groups * per_group))
        for y, x, group in np.ndindex(*window.kernel, self.groups):
            first, start = y * window.dilation[0], x * window.dilation[1]
            seen = sums[:, first:, start:][:, :: window.stride[0], :: window.stride[1]]
            part = slice(group * depth, (group + 1) * depth)
            results = slice(group * per_group, (group + 1) * per_group)
            pixels = values[..., part].astype(np.float64)
            product = np.tensordot(pixels, weight[y, x, part].astype(np.float64), 1)
            seen[:, :height, :width, results] += product
        return sums[:, top : top + rows, left : left + columns].astype(np.int64)

    def macs(self, *shapes: Shape) -> int:
        """Every weight for every pixel of the input."""
        return prod(shapes[0][:2]) * prod(shapes[1])

    @property
    def needs(self) -> Needs:
        """Those of its scale."""
        return self.scale.needs


def _check_bias(shape: Shape, count: int) -> None:
    if shape != (count,):
        raise InputError(f"bias must have shape ({count},), not {shape}")


def _check_sums(scale: Scale | None, result: Format) -> None:
    if isinstance(result, Integers) != (scale is None):
        raise InputError(f"its result is {'sums' if scale is None else 'codes'}, not {result}")
