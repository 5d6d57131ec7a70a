"""The exponential function."""

from __future__ import annotations

import numpy as np

from pulsarray.compiler.ir.value import Array
from pulsarray.compiler.ops.function import Function

__all__ = ["Exp"]


class Exp(Function, title="exp", summary="exp(x)", reads=("x",)):
    """The exponential function."""

    is_monotonic = True

    def real(self, *arrays: Array) -> Array:
        """``exp(x)``."""
        return np.asarray(np.exp(arrays[0]))

    def derivative(self, x: Array, result: Array) -> Array:
        """At x."""
        return result
