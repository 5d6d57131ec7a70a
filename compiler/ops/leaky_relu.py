"""Rectifiers that are not 0 below 0, or not straight above it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pulsarray.compiler.ir.value import Array
from pulsarray.compiler.ops.function import Function

__all__ = ["LeakyRelu", "Shrink", "ThresholdedRelu"]


@dataclass(frozen=True)
class LeakyRelu(Function, title="leaky_relu", summary="x where x is above 0, else alpha * x"):
    """x where x is above 0, else ``alpha * x`` (Maas et al. 2013)."""

    alpha: float = 0.01
    draws = ((0.01, 0.5),)

    def real(self, *arrays: Array) -> Array:
        """At x."""
        x = arrays[0]
        return np.asarray(np.where(x > 0.0, x, self.alpha * x))

    def derivative(self, x: Array, result: Array) -> Array:
        """1, or alpha."""
        return np.asarray(np.where(x > 0.0, 1.0, self.alpha))


@dataclass(frozen=True)
class ThresholdedRelu(
    Function, title="thresholded_relu", summary="x where x is above alpha, else 0"
):
    """x where x is above alpha, else 0 (Konda et al. 2014)."""

    alpha: float = 1.0
    draws = ((-0.5, 0.5),)

    def real(self, *arrays: Array) -> Array:
        """At x."""
        return np.asarray(arrays[0] * (arrays[0] > self.alpha))

    def derivative(self, x: Array, result: Array) -> Array:
        """1 where x is above alpha."""
        return np.asarray(x > self.alpha)


@dataclass(frozen=True)
class Shrink(
    Function,
    title="shrink",
    summary="0 where x is within threshold of 0, else nearer to 0 by offset",
):
    """0 for x from -threshold to threshold, else x moved towards 0 by offset."""

    threshold: float = 0.5
    offset: float = 0.0
    draws = ((0.1, 0.5), (0.0, 0.1))

    def real(self, *arrays: Array) -> Array:
        """At x."""
        x = arrays[0]
        moved = x - np.sign(x) * self.offset
        return np.asarray(moved * (abs(x) > abs(self.threshold)))

    def derivative(self, x: Array, result: Array) -> Array:
        """1 where it is not 0."""
        return np.asarray(abs(x) > abs(self.threshold))
