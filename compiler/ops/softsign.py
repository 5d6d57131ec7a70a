"""x over one more than its magnitude."""

from __future__ import annotations

import numpy as np

from pulsarray.compiler.ir.value import Array
from pulsarray.compiler.ops.function import Function

__all__ = ["Softsign"]


class Softsign(Function, title="softsign", summary="x / (1 + |x|)", reads=("x",)):
    """``x / (1 + |x|)`` (Bergstra et al. 2009)."""

    is_monotonic = True

    def real(self, *arrays: Array) -> Array:
        """At x."""
        return np.asarray(arrays[0] / (1.0 + abs(arrays[0])))

    def derivative(self, x: Array, result: Array) -> Array:
        """At x."""
        return np.asarray((1.0 + abs(x)) ** -2.0)
