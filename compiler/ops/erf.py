"""The error function."""

from __future__ import annotations

import math

import numpy as np

from pulsarray.compiler.ir.value import Array
from pulsarray.compiler.ops.function import Function

__all__ = ["Erf", "erf"]


_erf = np.vectorize(math.erf, otypes=[np.float64])


def erf(x: Array) -> Array:
    """The error function of all elements, in their type."""
    return np.asarray(_erf(x)).astype(x.dtype)


class Erf(
    Function,
    title="erf",
    summary="the error function of x",
    at=erf,
    slope_at=lambda x, _: 2.0 / math.sqrt(math.pi) * np.exp(-x * x),
):
    """The error function: ``2 / sqrt(pi)`` times the integral of ``exp(-t^2)`` from 0 to x."""

    is_monotonic = True
