"""The step from 0 to 1."""

from __future__ import annotations

import numpy as np

from pulsarray.compiler.ir.value import Array
from pulsarray.compiler.ops.function import Function

__all__ = ["Step"]


class Step(Function, title="step", summary="1 where x is above 0, else 0", reads=("x",)):
    """1 where x is above 0, else 0: a perceptron's output, in training a constant."""

    is_monotonic = True
    learns_as_identity = True

    def real(self, *arrays: Array) -> Array:
        """1 where x is above 0, else 0."""
        return (arrays[0] > 0.0).astype(arrays[0].dtype)

    def derivative(self, x: Array, result: Array) -> Array:
        """0, but at 0, where it has none and counts as 0, too."""
        return np.zeros_like(x)
