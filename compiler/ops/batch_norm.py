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

__all__ = ["BatchNorm", "BatchStatisticsNorm", "Standardized"]

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


class Standardized(_Norm):
    """Mean 0 and variance 1 over the batch, or along the last axis; then scaled and shifted."""

    def _mean(self, values: Array) -> Array:
        """Over what the statistics are of, in axes that stay."""
        axes = tuple(range(values.ndim - 1)) if self.mixes_samples else (-1,)
        return np.asarray(values.mean(axis=axes, keepdims=True))

    def _middle(self, values: Array) -> Array:
        """What is taken off."""
        return self._mean(values)

    def _normal(self, x: Array) -> tuple[Array, Array]:
        """Normalized values, and the factors that made them."""
        centred = x - self._middle(x)
        factor = 1.0 / np.sqrt(self._mean(centred**2) + x.dtype.type(self.epsilon))
        return centred * factor, factor

    def real(self, *arrays: Array) -> Array:
        """The definition."""
        x, scale, shift = (array.astype(arrays[0].dtype, copy=False) for array in arrays)
        return np.asarray(self._normal(x)[0] * scale + shift)

    def gradient(self, arrays: Sequence[Array], result: Array, error: Array) -> list[Array | None]:
        """By x, scale and shift."""
        x, scale, _ = arrays
        normal, factor = self._normal(x)
        scaled = error * scale
        along = normal * self._mean(scaled * normal)
        by_x = factor * (scaled - self._middle(scaled) - along)
        return [by_x, over_channels(error * normal), over_channels(error)]


class BatchStatisticsNorm(
    Standardized,
    title="batch_statistics_norm",
    summary="batch normalization with the mean and variance of the batch itself",
    reads=("x", "scale", "shift"),
    constants=(1, 2),
):
    """Batch normalization as in training (Ioffe and Szegedy 2015): scale and shift (C,)."""

    mixes_samples = True
