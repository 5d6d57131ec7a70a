"""Smooth rectifiers."""

from __future__ import annotations

import numpy as np

from pulsarray.compiler.ir.value import Array
from pulsarray.compiler.ops.function import Function

__all__ = ["Mish", "Softplus"]


class Softplus(Function, title="softplus", summary="log(1 + exp(x))"):
    """``log(1 + exp(x))`` (Dugas et al. 2000)."""

    is_monotonic = True

    def real(self, *arrays: Array) -> Array:
        """At x, so that nothing overflows."""
        return np.asarray(np.maximum(arrays[0], 0.0) + np.log1p(np.exp(-abs(arrays[0]))))

    def derivative(self, x: Array, result: Array) -> Array:
        """The sigmoid."""
        return np.asarray(0.5 * (1.0 + np.tanh(0.5 * x)))


class Mish(Function, title="mish", summary="x * tanh(softplus(x))"):
    """``x * tanh(softplus(x))`` (Misra 2019)."""

    def real(self, *arrays: Array) -> Array:
        """At x."""
        return np.asarray(arrays[0] * np.tanh(Softplus().real(*arrays)))

    def derivative(self, x: Array, result: Array) -> Array:
        """At x."""
        gate = np.tanh(Softplus().real(x))
        sigmoid = 0.5 * (1.0 + np.tanh(0.5 * x))
        return np.asarray(gate + x * (1.0 - gate * gate) * sigmoid)
