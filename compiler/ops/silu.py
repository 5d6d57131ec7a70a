"""The sigmoid-weighted linear unit."""

from __future__ import annotations

import numpy as np

from pulsarray.compiler.ir.value import Array
from pulsarray.compiler.ops.function import Function

__all__ = ["Silu"]


def _sigmoid(x: Array) -> Array:
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * x)))


class Silu(
    Function,
    title="silu",
    summary="x * sigmoid(x)",
    at=lambda x: x * _sigmoid(x),
    slope_at=lambda x, y: _sigmoid(x) + y * (1.0 - _sigmoid(x)),
):
    """``x * sigmoid(x)`` (Elfwing et al. 2017), also known as swish."""
