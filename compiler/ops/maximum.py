"""The larger of two values."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pulsarray.compiler.ir.value import Array
from pulsarray.compiler.ops.binary import Binary

__all__ = ["Maximum"]


@dataclass(frozen=True)
class Maximum(
    Binary, title="maximum", summary="the larger of a and b, element by element", reads=("a", "b")
):
    """The larger of two values; the gradient of equal ones goes to the first."""

    def apply(self, a: Array, b: Array) -> Array:
        """The function."""
        return np.asarray(np.maximum(a, b))

    def slopes(self, a: Array, b: Array, error: Array) -> tuple[Array, Array]:
        """By both."""
        first = a >= b
        return error * first, error * ~first
