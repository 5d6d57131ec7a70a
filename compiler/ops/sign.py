"""Signs and magnitudes."""

from __future__ import annotations

import numpy as np

from pulsarray.compiler.ir.value import Array
from pulsarray.compiler.ops.function import Function

__all__ = ["Absolute", "Negate", "Sign"]


class Absolute(Function, title="absolute", summary="the magnitude of x", reads=("x",)):
    """The magnitude of x."""

    def real(self, *arrays: Array) -> Array:
        """``|x|``."""
        return np.asarray(abs(arrays[0]))

    def derivative(self, x: Array, result: Array) -> Array:
        """The sign of x."""
        return np.asarray(np.sign(x))


class Negate(Function, title="negate", summary="-x", reads=("x",)):
    """x times -1."""

    def real(self, *arrays: Array) -> Array:
        """``-x``."""
        return np.asarray(-arrays[0])

    def derivative(self, x: Array, result: Array) -> Array:
        """-1."""
        return np.full_like(x, -1.0)


class Sign(Function, title="sign", summary="-1, 0 or 1: the sign of x", reads=("x",)):
    """-1 where x is negative, 0 where it is 0, else 1; in training a constant."""

    is_monotonic = True

    def real(self, *arrays: Array) -> Array:
        """At x."""
        return np.asarray(np.sign(arrays[0]))

    def derivative(self, x: Array, result: Array) -> Array:
        """0, but at 0, where it has none and counts as 0, too."""
        return np.zeros_like(x)
