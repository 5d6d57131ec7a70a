"""The natural logarithm."""

from __future__ import annotations

import numpy as np

from pulsarray.compiler.ir.value import Array
from pulsarray.compiler.ops.function import Function

__all__ = ["Log"]


class Log(Function, title="log", summary="the natural logarithm of x", positive=(0,)):
    """The natural logarithm of positive numbers."""

    def real(self, *arrays: Array) -> Array:
        """``log(x)``; of 0 it is -infinity, and of negative numbers it is not a number."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(np.log(arrays[0]))

    def derivative(self, x: Array, result: Array) -> Array:
        """At x."""
        return np.asarray(1.0 / x)
