"""The larger of x and 0."""

from __future__ import annotations

from math import inf

import numpy as np
import numpy.typing as npt

from pulsarray.compiler.ir.mantissas import Part, Rounding
from pulsarray.compiler.ir.value import Array
from pulsarray.compiler.ops.function import Function

__all__ = ["Relu"]

Ints = npt.NDArray[np.int64]


class Relu(Function, title="relu", summary="max(x, 0)"):
    """The larger of x and 0."""

    is_monotonic = True
    keeps_slope = True
    has_kinks = True

    @property
    def limits(self) -> tuple[float, float]:
        """0 and infinity."""
        return 0.0, inf

    def real(self, *arrays: Array) -> Array:
        """``max(x, 0)``."""
        return np.asarray(np.maximum(arrays[0], 0.0))

    def derivative(self, x: Array, result: Array) -> Array:
        """1 where the result is above 0, else 0, at 0 too."""
        return np.asarray(result > 0.0)

    def slope(self, part: Part, rounding: Rounding) -> Ints:
        """The same of integers."""
        return np.asarray(part[0] > 0, np.int64)
