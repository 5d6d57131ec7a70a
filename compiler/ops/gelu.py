"""The Gaussian error linear unit."""

from __future__ import annotations

from dataclasses import dataclass
from math import pi, sqrt

import numpy as np

from pulsarray.compiler.ir.operator import Drawn
from pulsarray.compiler.ir.value import Array, Shape
from pulsarray.compiler.ops.erf import erf
from pulsarray.compiler.ops.function import Function

__all__ = ["Gelu"]

_CUBIC = 0.044715


@dataclass(frozen=True)
class Gelu(Function, title="gelu", summary="x times the normal distribution at x"):
    """x times the cumulative normal distribution at x (Hendrycks and Gimpel 2016).

    Parameters
    ----------
    tanh
        Whether that is made from a hyperbolic tangent, as the article also has it.
    """

    tanh: bool = False

    @property
    def variant(self) -> str:
        """With a hyperbolic tangent another name."""
        return "gelu-tanh" if self.tanh else self.title

    def real(self, *arrays: Array) -> Array:
        """``x * Phi(x)``."""
        return np.asarray(arrays[0] * self._distribution(arrays[0]))

    def _distribution(self, x: Array) -> Array:
        """The cumulative normal distribution, or what stands for it."""
        if self.tanh:
            return np.asarray(0.5 * (1.0 + np.tanh(sqrt(2 / pi) * (x + _CUBIC * x**3))))
        return np.asarray(0.5 * (1.0 + erf(x / sqrt(2.0))))

    def derivative(self, x: Array, result: Array) -> Array:
        """``Phi(x) + x * Phi'(x)``."""
        phi = self._distribution(x)
        if self.tanh:
            inner = sqrt(2 / pi) * (1.0 + 3 * _CUBIC * x * x)
            return np.asarray(phi + x * 2.0 * phi * (1.0 - phi) * inner)
        return np.asarray(phi + x * np.exp(-0.5 * x * x) / sqrt(2 * pi))

    @classmethod
    def draw(cls, rng: np.random.Generator, shape: Shape) -> Drawn | None:
        """Either form."""
        return cls(bool(rng.integers(2))), ()
