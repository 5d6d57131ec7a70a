"""The logistic function."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pulsarray.compiler.ir.value import Array
from pulsarray.compiler.ops.function import Function

__all__ = ["Sigmoid"]


@dataclass(frozen=True)
class Sigmoid(Function, title="sigmoid", summary="1 / (1 + exp(-x))", reads=("x",)):
    """The logistic function."""

    is_monotonic = True
    keeps_slope = True

    def real(self, *arrays: Array) -> Array:
        """``1 / (1 + exp(-x))``, as a hyperbolic tangent, which cannot overflow."""
        return np.asarray(0.5 * (1.0 + np.tanh(0.5 * arrays[0])))

    def derivative(self, x: Array, result: Array) -> Array:
        """From the result."""
        return np.asarray(result * (1.0 - result))
