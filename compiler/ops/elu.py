"""Exponential linear units."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pulsarray.compiler.ir.value import Array
from pulsarray.compiler.ops.function import Function

__all__ = ["Celu", "Elu", "Selu"]


@dataclass(frozen=True)
class Elu(Function, title="elu", summary="x where x is above 0, else alpha * (exp(x) - 1)"):
    """x where x is above 0, else ``alpha * (exp(x) - 1)`` (Clevert et al. 2015)."""

    alpha: float = 1.0
    draws = ((0.5, 2.0),)

    def real(self, *arrays: Array) -> Array:
        """At x."""
        x = arrays[0]
        return np.asarray(np.where(x > 0.0, x, self.alpha * np.expm1(np.minimum(x, 0.0))))

    def derivative(self, x: Array, result: Array) -> Array:
        """1, or ``alpha * exp(x)``."""
        return np.asarray(np.where(x > 0.0, 1.0, result + self.alpha))


@dataclass(frozen=True)
class Selu(Function, title="selu", summary="gamma times the elu of x"):
    """gamma times the elu of x, by which values keep mean 0 and variance 1.

    Klambauer et al. 2017, with their constants.
    """

    alpha: float = 1.67326319217681884765625
    gamma: float = 1.05070102214813232421875

    def real(self, *arrays: Array) -> Array:
        """At x."""
        return np.asarray(self.gamma * Elu(self.alpha).real(*arrays))

    def derivative(self, x: Array, result: Array) -> Array:
        """That of the elu, times gamma."""
        return np.asarray(np.where(x > 0.0, self.gamma, result + self.gamma * self.alpha))


@dataclass(frozen=True)
class Celu(
    Function,
    title="celu",
    summary="x where x is above 0, else alpha * (exp(x / alpha) - 1)",
):
    """x where x is above 0, else ``alpha * (exp(x / alpha) - 1)`` (Barron 2017)."""

    alpha: float = 1.0
    draws = ((0.5, 2.0),)

    def real(self, *arrays: Array) -> Array:
        """At x."""
        x = arrays[0]
        below = self.alpha * np.expm1(np.minimum(x, 0.0) / self.alpha)
        return np.asarray(np.where(x > 0.0, x, below))

    def derivative(self, x: Array, result: Array) -> Array:
        """1, or ``exp(x / alpha)``."""
        return np.asarray(np.where(x > 0.0, 1.0, result / self.alpha + 1.0))
