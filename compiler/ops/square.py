"""Squares."""

from __future__ import annotations

import numpy as np

from pulsarray.compiler.ir.value import Array
from pulsarray.compiler.ops.function import Function

__all__ = ["Square"]


class Square(Function, title="square", summary="x * x", reads=("x",)):
    """Squares."""

    def real(self, *arrays: Array) -> Array:
        """``x * x``."""
        return np.asarray(arrays[0] * arrays[0])

    def derivative(self, x: Array, result: Array) -> Array:
        """``2 * x``."""
        return 2 * x
