"""The sigmoid-weighted linear unit."""

from __future__ import annotations

import numpy as np

from pulsarray.compiler.ir.value import Array
from pulsarray.compiler.ops.function import Function

__all__ = ["Silu"]


class Silu(Function, title="silu", summary="x * sigmoid(x)", reads=("x",)):
    """``x * sigmoid(x)`` (Elfwing et al. 2017), also known as swish."""

    def real(self, *arrays: Array) -> Array:
        """``x * sigmoid(x)``."""
        x = arrays[0]
        return np.asarray(x * (0.5 * (1.0 + np.tanh(0.5 * x))))

    def derivative(self, x: Array, result: Array) -> Array:
        """At x."""
        sigmoid = 0.5 * (1.0 + np.tanh(0.5 * x))
        return np.asarray(sigmoid + result * (1.0 - sigmoid))
