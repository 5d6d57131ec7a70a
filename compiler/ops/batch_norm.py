"""Batch normalization, with statistics that are known or those of the batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pulsarray.compiler.ir.operator import Drawn, Operator
from pulsarray.compiler.ir.value import Array, Shape
from pulsarray.compiler.ops.images import channels
from pulsarray.compiler.ops.statistics import over_channels
from pulsarray.errors import InputError

__all__ = ["BatchNorm", "BatchStatisticsNorm"]

_NAMES = ("scale", "shift", "mean", "variance")


@dataclass(frozen=True)
class _Norm(Operator):
    """What both have in common: an array of one number a channel for each further input."""

    epsilon: float = 1e-5

    def shape(self, *shapes: Shape) -> Shape:
        """Shape of the result, that of x.

        Raises
        ------
        InputError
            If an array does not have one number a channel.
        """
        x, *arrays = shapes
        count = channels(x)
        for name, shape in zip(_NAMES, arrays, strict=False):
            if shape != (count,):
                raise InputError(f"{name} must have shape ({count},), not {shape}")
        return x

    @classmethod
    def draw(cls, rng: np.random.Generator, shape: Shape) -> Drawn | None:
        """With an epsilon that makes a difference."""
        arrays = (shape[-1:],) * (len(cls.reads) - 1)
        return (cls(float(rng.uniform(0.001, 0.1))), arrays) if shape else None


class BatchNorm(
    _Norm,
    title="batch_norm",
    summary="(x - mean) / sqrt(variance + epsilon) * scale + shift, a channel each",
    reads=("x", *_NAMES),
    constants=(1, 2, 3, 4),
    positive=(4,),
):
    """``(x - mean) / sqrt(variance + epsilon) * scale + shift``, arrays of shape (C,).

    This is inference; training uses :class:`BatchStatisticsNorm`.
    """

    def check(self, *constants: Array | None) -> None:
        """Refuse variances whose root is none.

        Raises
        ------
        InputError
            If one, plus epsilon, is not positive.
        """
        variance = constants[4]
        if variance is not None and not float(variance.min()) + self.epsilon > 0.0:
            raise InputError("variance + epsilon must be positive")

    def affine(self, *constants: Array) -> tuple[Array, Array]:
        """Factor and offset a channel that do the same, from scale, shift, mean and variance."""
        scale, shift, mean, variance = constants
        factor = scale / np.sqrt(variance + self.epsilon)
        return factor, shift - mean * factor

    def real(self, *arrays: Array) -> Array:
        """A factor and an offset a channel, which are made in the type of the constants."""
        x, *constants = arrays
        factor, offset = self.affine(*constants)
        return np.asarray(x * factor.astype(x.dtype) + offset.astype(x.dtype))

    def gradient(self, arrays: Sequence[Array], result: Array, error: Array) -> list[Array | None]:
        """By x, scale, shift, mean and variance."""
        x, scale, shift, mean, variance = arrays
        factor, _ = self.affine(scale, shift, mean, variance)
        total = over_channels(error)
        by_factor = over_channels(error * x) - mean * total
        deviation = np.sqrt(variance + self.epsilon)
        by_variance = by_factor * scale * -0.5 / deviation**3
        return [error * factor, by_factor / deviation, total, -factor * total, by_variance]


class BatchStatisticsNorm(
    _Norm,
    title="batch_statistics_norm",
    summary="batch normalization with the mean and variance of the batch itself",
    reads=("x", "scale", "shift"),
    constants=(1, 2),
):
    """Batch normalization as in training (Ioffe and Szegedy 2015): scale and shift (C,)."""

    mixes_samples = True

    def real(self, *arrays: Array) -> Array:
        """Mean 0 and variance 1 of each channel, then scale and shift."""
        x, scale, shift = (array.astype(arrays[0].dtype, copy=False) for array in arrays)
        return np.asarray(self._normal(x)[0] * scale + shift)

    def _normal(self, x: Array) -> tuple[Array, Array]:
        """Normalized values, and the factor that made them."""
        axes = tuple(range(x.ndim - 1))
        centred = x - x.mean(axis=axes)
        inverse = 1.0 / np.sqrt((centred**2).mean(axis=axes) + x.dtype.type(self.epsilon))
        return centred * inverse, inverse

    def gradient(self, arrays: Sequence[Array], result: Array, error: Array) -> list[Array | None]:
        """By x, scale and shift."""
        x, scale, _ = arrays
        size = x.dtype.type(x.size // x.shape[-1])
        normal, inverse = self._normal(x)
        along, total = over_channels(error * normal), over_channels(error)
        by_x = (error - (total + normal * along) / size) * (scale * inverse)
        return [by_x, along, total]
