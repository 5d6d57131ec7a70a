"""The hyperbolic tangent."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pulsarray.compiler.ir.value import Array
from pulsarray.compiler.ops.function import Function

__all__ = ["Tanh"]


@dataclass(frozen=True)
class Tanh(Function, title="tanh", summary="the hyperbolic tangent", reads=("x",)):
    """The hyperbolic tangent."""

    is_monotonic = True
    keeps_slope = True

    def real(self, *arrays: Array) -> Array:
        """``tanh(x)``."""
        return np.asarray(np.tanh(arrays[0]))

    def derivative(self, x: Array, result: Array) -> Array:
        """From the result."""
        return np.asarray(1.0 - result**2)
