"""What normalizations are made of in training, over a batch or along channels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import numpy.typing as npt

from pulsarray.compiler.ir.mantissas import Part, Rounding
from pulsarray.compiler.ir.operator import Kind, Operator
from pulsarray.compiler.ir.value import Array, Shape
from pulsarray.compiler.numerics.exponents import NORMAL, SMALLER
from pulsarray.compiler.numerics.mantissas import blen
from pulsarray.compiler.numerics.normalization import (
    Mean,
    Normalized,
    normalize,
    normalize_channels,
    pull,
    pull_channels,
    pulled,
)
from pulsarray.compiler.ops.exact import affine
from pulsarray.compiler.ops.images import channels
from pulsarray.errors import InputError

__all__ = [
    "BatchMean",
    "ChannelMean",
    "Normalize",
    "NormalizeChannels",
    "NormalizeChannelsGradient",
    "NormalizeGradient",
    "ScaleShift",
    "over_channels",
]

Ints = npt.NDArray[np.int64]


def over_channels(values: Array) -> Array:
    """Sum of all but the last axis."""
    return np.asarray(values.sum(axis=tuple(range(values.ndim - 1))))


class _Statistic(Operator):
    """What is over the batch where it mixes samples, else along the channels."""

    def axes(self, rank: int) -> tuple[int, ...]:
        """The axes of so many that it is over: all but the last, or that."""
        return tuple(range(rank - 1)) if self.mixes_samples else (-1,)


class _Mean(_Statistic):
    """The mean of x or of x * y."""

    def shape(self, *shapes: Shape) -> Shape:
        """Shape of the result, x's where the mean is over its channels, with one of them.

        Raises
        ------
        InputError
            If x and y differ, or there is no channel.
        """
        if len(set(shapes)) > 1:
            raise InputError(f"needs values of one shape, not {shapes}")
        return mean_shape(self.axes(len(shapes[0]) + 1), shapes[0])

    def real(self, *arrays: Array) -> Array:
        """The mean."""
        x, *others = arrays
        values = x * others[0] if others else x
        return _mean(values, self.axes(x.ndim))

    def mantissas(self, parts: Sequence[Part], rounding: Rounding) -> Part:
        """At the exponent of x; of x * y at that of y, 16 bits."""
        (x, e_x), *others = parts
        axes, mean = self.axes(x.ndim), divisor(self.axes(x.ndim), x.shape)
        if not others:
            return mean(x.sum(axis=axes, keepdims=axes == (-1,))), e_x
        ((y, e_y),) = others
        products = (x * y).sum(axis=axes, keepdims=axes == (-1,))
        return np.clip(mean(products, e_x), -(1 << 15), (1 << 15) - 1), e_y


def divisor(axes: tuple[int, ...], shape: Shape) -> Mean:
    """What a sum over the last axis, or over all but that, is divided by."""
    return Mean.along(shape[-1]) if axes == (-1,) else Mean.over(prod(shape[:-1]))


def mean_shape(axes: tuple[int, ...], shape: Shape) -> Shape:
    """Shape of a mean over the last axis, or over all but that."""
    count = channels(shape)
    return (*shape[:-1], 1) if axes == (-1,) else (count,)


def _mean(values: Array, axes: tuple[int, ...]) -> Array:
    return np.asarray(values.mean(axis=axes, keepdims=axes == (-1,)))


class BatchMean(
    _Mean,
    title="batch_mean",
    summary="the mean of each channel over the batch, of x or of x * y",
    kind=Kind.TRAINING,
    reads=("x", "y?"),
):
    """The mean of each channel over all samples and pixels, (C,), of x or of x * y."""

    mixes_samples = True


class ChannelMean(
    _Mean,
    title="channel_mean",
    summary="the mean of all channels of each pixel, of x or of x * y",
    kind=Kind.TRAINING,
    reads=("x", "y?"),
):
    """The mean along the last axis, which keeps one element, of x or of x * y."""


@dataclass(frozen=True)
class _Normalize(_Statistic):
    """Values less their mean, divided by their deviation.

    Parameters
    ----------
    epsilon
        Added to the variance.
    """

    epsilon: float

    def shape(self, *shapes: Shape) -> Shape:
        """Shape of the result, that of x.

        Raises
        ------
        InputError
            If the mean has another shape than means have.
        """
        x, mean = shapes
        wanted = mean_shape(self.axes(len(x) + 1), x)
        if mean != wanted:
            raise InputError(f"mean must have shape {wanted}, not {mean}")
        return x

    def real(self, *arrays: Array) -> Array:
        """Normalized values."""
        x, mean = arrays
        return np.asarray((x - mean) * self.factor(x, mean))

    def normalized(self, parts: Sequence[Part], segments: int) -> Normalized:
        """Normalized mantissas of x and its mean, and what they were divided by."""
        (x, e_x), (middle, _) = parts
        axes = self.axes(x.ndim)
        made = normalize_channels if axes == (-1,) else normalize
        return made(x, e_x, middle, divisor(axes, x.shape), self.epsilon, segments)

    def mantissas(self, parts: Sequence[Part], rounding: Rounding) -> Part:
        """At an exponent that is always the same."""
        return self.normalized(parts, rounding.segments).values, NORMAL

    def factor(self, x: Array, mean: Array) -> Array:
        """What values are multiplied by."""
        variance = _mean((x - mean) ** 2, self.axes(x.ndim))
        return np.asarray(1.0 / np.sqrt(variance + x.dtype.type(self.epsilon)))


class Normalize(
    _Normalize,
    title="normalize",
    summary="(x - mean) / sqrt(mean of (x - mean)^2 over the batch + epsilon)",
    kind=Kind.TRAINING,
    reads=("x", "mean"),
):
    """Each channel less its mean, divided by its deviation (Ioffe and Szegedy 2015)."""

    mixes_samples = True


class NormalizeChannels(
    _Normalize,
    title="normalize_channels",
    summary="(x - mean) / sqrt(mean of (x - mean)^2 over channels + epsilon)",
    kind=Kind.TRAINING,
    reads=("x", "mean"),
):
    """Each pixel less its mean, divided by its deviation along the channels (Ba et al. 2016)."""

    keeps_result = True


class ScaleShift(
    Operator,
    title="scale_shift",
    summary="x * scale + shift, a channel each",
    kind=Kind.TRAINING,
    reads=("x", "scale", "shift"),
    constants=(1, 2),
):
    """``x * scale + shift``, scale and shift (C,)."""

    def shape(self, *shapes: Shape) -> Shape:
        """Shape of the result, that of x.

        Raises
        ------
        InputError
            If scale or shift are not one number a channel.
        """
        x, *arrays = shapes
        for name, shape in zip(("scale", "shift"), arrays, strict=True):
            if shape != (channels(x),):
                raise InputError(f"{name} must have shape ({channels(x)},), not {shape}")
        return x

    def real(self, *arrays: Array) -> Array:
        """The definition."""
        x, scale, shift = (array.astype(arrays[0].dtype, copy=False) for array in arrays)
        return np.asarray(x * scale + shift)

    def mantissas(self, parts: Sequence[Part], rounding: Rounding) -> Part:
        """Exact sums, rounded once."""
        return rounding.rounded(*affine(self.real, parts))

    def gradient(self, arrays: Sequence[Array], result: Array, error: Array) -> list[Array | None]:
        """By x, scale and shift."""
        x, scale, _ = arrays
        return [error * scale, over_channels(x * error), over_channels(error)]

    def gradient_reads(self, place: int) -> tuple[int, ...]:
        """By x the scale, by the scale x."""
        return {0: (1,), 1: (0,)}.get(place, ())


@dataclass(frozen=True)
class _NormalizeGradient(Operator):
    """The gradient by x of a normalization; a subclass says of which."""

    epsilon: float

    def pulled(self, by: _Normalize, arrays: Sequence[Array]) -> Array:
        """The error less its mean and its slope along the normalized values, divided."""
        x, mean, normal, along, error = arrays
        middle = _mean(error, by.axes(x.ndim))
        return np.asarray(by.factor(x, mean) * (error - middle - normal * along))

    def guarded(
        self, values: Ints, shifts: Ints, exponent: int, level: int, rounding: Rounding
    ) -> Part:
        """Values after a last shift, with guard bits below the exponent of the result."""
        guarded = rounding.guarded(level + exponent)
        return pulled(values, shifts, guarded - exponent), guarded

    def shape(self, *shapes: Shape) -> Shape:
        """Shape of the result, that of x."""
        return shapes[0]


class NormalizeGradient(
    _NormalizeGradient,
    title="normalize_gradient",
    summary="the gradient by x of normalize and scale_shift together",
    kind=Kind.TRAINING,
    reads=("x", "mean", "normal", "along", "error", "scale"),
    constants=(5,),
):
    """The gradient by x of ``scale_shift(normalize(x, mean(x)), scale, shift)``.

    It reads the normalized values, the gradient by the result (``error``) and the mean of their
    products (``along``).

    Parameters
    ----------
    epsilon
        Added to the variance.
    """

    mixes_samples = True

    def real(self, *arrays: Array) -> Array:
        """The mean and the slope along the normalized values taken out, then scaled."""
        *others, scale = arrays
        return np.asarray(self.pulled(Normalize(self.epsilon), others) * scale)

    def mantissas(self, parts: Sequence[Part], rounding: Rounding) -> Part:
        """By the divisors of the way there, a shift for each channel."""
        (x, e_x), _, _, (along, _), (error, e_error), (scale, e_scale) = parts
        by = Normalize(self.epsilon)
        normal = by.normalized(parts[:2], rounding.segments)
        mean = divisor(by.axes(x.ndim), x.shape)
        values, shifts = pull(error, normal, along, scale, mean)
        level = max(blen(values[..., c]) - int(shift) for c, shift in enumerate(shifts))
        exponent = e_error + e_scale - SMALLER - e_x
        return self.guarded(values, shifts, exponent, level, rounding)


class NormalizeChannelsGradient(
    _NormalizeGradient,
    title="normalize_channels_gradient",
    summary="the gradient by x of normalize_channels",
    kind=Kind.TRAINING,
    reads=("x", "mean", "normal", "along", "error"),
):
    """The gradient by x of ``normalize_channels(x, mean(x))``, read as by batches.

    Parameters
    ----------
    epsilon
        Added to the variance.
    """

    def real(self, *arrays: Array) -> Array:
        """The same along the channels."""
        return self.pulled(NormalizeChannels(self.epsilon), arrays)

    def mantissas(self, parts: Sequence[Part], rounding: Rounding) -> Part:
        """By the divisors of the way there, a shift for each pixel."""
        (x, e_x), _, _, (along, _), (error, e_error) = parts
        by = NormalizeChannels(self.epsilon)
        normal = by.normalized(parts[:2], rounding.segments)
        values, shifts = pull_channels(error, normal, along, divisor((-1,), x.shape))
        most = np.frexp(np.abs(values).max(axis=-1, keepdims=True).astype(np.float64))[1]
        exponent = e_error - SMALLER - e_x
        return self.guarded(values, shifts, exponent, int((most - shifts).max()), rounding)
