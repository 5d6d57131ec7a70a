"""Powers with a constant exponent."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pulsarray.compiler.ir.value import Array
from pulsarray.compiler.ops.function import Function

__all__ = ["Power", "Root"]


@dataclass(frozen=True)
class Power(Function, title="power", summary="x ^ exponent, a constant", positive=(0,)):
    """x to the power of a constant; not a number where x is negative and that is not whole."""

    exponent: float = 2.0
    draws = ((-1.0, 3.0),)

    def real(self, *arrays: Array) -> Array:
        """At x."""
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            return np.asarray(arrays[0] ** self.exponent)

    def derivative(self, x: Array, result: Array) -> Array:
        """At x."""
        return np.asarray(self.exponent * x ** (self.exponent - 1.0))


class Root(Function, title="root", summary="the square root of x", positive=(0,)):
    """The square root of numbers from 0 on."""

    def real(self, *arrays: Array) -> Array:
        """At x; of negative numbers it is not a number."""
        with np.errstate(invalid="ignore"):
            return np.asarray(np.sqrt(arrays[0]))

    def derivative(self, x: Array, result: Array) -> Array:
        """At x."""
        return np.asarray(0.5 / result)
