"""Reciprocals."""

from __future__ import annotations

import numpy as np

from pulsarray.compiler.ir.value import Array
from pulsarray.compiler.ops.function import Function

__all__ = ["Reciprocal"]


class Reciprocal(Function, title="reciprocal", summary="1 / x", positive=(0,)):
    """The reciprocal of numbers other than 0."""

    def real(self, *arrays: Array) -> Array:
        """``1 / x``."""
        with np.errstate(divide="ignore"):
            return np.asarray(1.0 / arrays[0])

    def derivative(self, x: Array, result: Array) -> Array:
        """At x."""
        return np.asarray(-result * result)
