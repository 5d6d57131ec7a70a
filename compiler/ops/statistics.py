"""What batch normalization is made of in training, over all samples and pixels of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pulsarray.compiler.ir.operator import Kind, Operator
from pulsarray.compiler.ir.value import Array, Shape
from pulsarray.compiler.ops.images import channels
from pulsarray.errors import InputError

__all__ = ["BatchMean", "Normalize", "NormalizeGradient", "ScaleShift", "over_channels"]


def over_channels(values: Array) -> Array:
    """Sum of all but the last axis."""
    return np.asarray(values.sum(axis=tuple(range(values.ndim - 1))))


@dataclass(frozen=True)
class BatchMean(
    Operator,
    title="batch_mean",
    summary="the mean of each channel over the batch, of x or of x * y",
    kind=Kind.TRAINING,
    reads=("x", "y?"),
):
    """The mean of each channel over all samples and pixels, (C,), of x or of x * y."""

    mixes_samples = True

    def shape(self, *shapes: Shape) -> Shape:
        """Shape of the result, (C,).

        Raises
        ------
        InputError
            If x and y differ, or there is no channel.
        """
        if len(set(shapes)) > 1:
            raise InputError(f"needs values of one shape, not {shapes}")
        return (channels(shapes[0]),)

    def real(self, *arrays: Array) -> Array:
        """The mean."""
        x, *others = arrays
        values = x * others[0] if others else x
        return np.asarray(values.mean(axis=tuple(range(x.ndim - 1))))


@dataclass(frozen=True)
class Normalize(
    Operator,
    title="normalize",
    summary="(x - mean) / sqrt(mean of (x - mean)^2 over the batch + epsilon)",
    kind=Kind.TRAINING,
    reads=("x", "mean"),
):
    """Each channel less its mean, divided by its deviation in the batch (Ioffe and Szegedy 2015).

    Parameters
    ----------
    epsilon
        Added to the variance.
    """

    epsilon: float

    mixes_samples = True

    def shape(self, *shapes: Shape) -> Shape:
        """Shape of the result, that of x.

        Raises
        ------
        InputError
            If the mean is not one number a channel.
        """
        x, mean = shapes
        if mean != (channels(x),):
            raise InputError(f"mean must have shape ({channels(x)},), not {mean}")
        return x

    def real(self, *arrays: Array) -> Array:
        """Normalized values."""
        x, mean = arrays
        return np.asarray((x - mean) * self.factor(x, mean))

    def factor(self, x: Array, mean: Array) -> Array:
        """What each channel is multiplied by."""
        squares = (x - mean) ** 2
        variance = squares.mean(axis=tuple(range(x.ndim - 1)))
        return np.asarray(1.0 / np.sqrt(variance + x.dtype.type(self.epsilon)))


@dataclass(frozen=True)
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

    def gradient(self, arrays: Sequence[Array], result: Array, error: Array) -> list[Array | None]:
        """By x, scale and shift."""
        x, scale, _ = arrays
        return [error * scale, over_channels(x * error), over_channels(error)]

    def gradient_reads(self, place: int) -> tuple[int, ...]:
        """By x the scale, by the scale x."""
        return {0: (1,), 1: (0,)}.get(place, ())


@dataclass(frozen=True)
class NormalizeGradient(
    Operator,
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

    epsilon: float

    mixes_samples = True

    def shape(self, *shapes: Shape) -> Shape:
        """Shape of the result, that of x.

        Raises
        ------
        InputError
            If shapes do not fit.
        """
        x, *others = shapes
        count = (channels(x),)
        if tuple(others) != (count, x, count, x, count):
            raise InputError(f"shapes {shapes} do not fit")
        return x

    def real(self, *arrays: Array) -> Array:
        """The mean and the slope along the normalized values taken out, then scaled."""
        x, mean, normal, along, error, scale = arrays
        slope = scale * Normalize(self.epsilon).factor(x, mean)
        middle = error.mean(axis=tuple(range(x.ndim - 1)))
        return np.asarray(slope * (error - middle - normal * along))
