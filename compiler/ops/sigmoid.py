"""The logistic function."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pulsarray.compiler.ir.mantissas import Part, Rounding
from pulsarray.compiler.ir.value import Array
from pulsarray.compiler.numerics.mantissas import LARGEST, rne
from pulsarray.compiler.ops.function import Function

__all__ = ["Sigmoid"]

Ints = npt.NDArray[np.int64]
_ONE = 1 << 15


class Sigmoid(Function, title="sigmoid", summary="1 / (1 + exp(-x))"):
    """The logistic function."""

    is_monotonic = True
    keeps_slope = True

    def real(self, *arrays: Array) -> Array:
        """``1 / (1 + exp(-x))``, as a hyperbolic tangent, which cannot overflow."""
        return np.asarray(0.5 * (1.0 + np.tanh(0.5 * arrays[0])))

    def derivative(self, x: Array, result: Array) -> Array:
        """From the result."""
        return np.asarray(result * (1.0 - result))

    def slope(self, part: Part, rounding: Rounding) -> Ints:
        """``z (1 - z)`` at 2^-17, 16 bits."""
        z, _ = part
        return np.minimum(rne(z * (_ONE - z), 13), LARGEST)
