"""The hyperbolic tangent."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pulsarray.compiler.ir.mantissas import Part, Rounding
from pulsarray.compiler.numerics.mantissas import LARGEST, rne
from pulsarray.compiler.ops.function import Function

__all__ = ["Tanh"]

Ints = npt.NDArray[np.int64]
_ONE = 1 << 15


class Tanh(
    Function,
    title="tanh",
    summary="the hyperbolic tangent",
    at=np.tanh,
    slope_at=lambda _, y: 1.0 - y**2,
):
    """The hyperbolic tangent."""

    is_monotonic = True
    keeps_slope = True

    def slope(self, part: Part, rounding: Rounding) -> Ints:
        """``1 - z^2`` at 2^-15, 16 bits."""
        z, _ = part
        return np.minimum(rne(_ONE * _ONE - z * z, 15), LARGEST)
