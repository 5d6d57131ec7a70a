"""Signs and magnitudes."""

from __future__ import annotations

import numpy as np

from pulsarray.compiler.ops.function import Function

__all__ = ["Absolute", "Negate", "Sign"]


class Absolute(
    Function,
    title="absolute",
    summary="the magnitude of x",
    at=abs,
    slope_at=lambda x, _: np.sign(x),
):
    """The magnitude of x."""


class Negate(
    Function,
    title="negate",
    summary="-x",
    at=np.negative,
    slope_at=lambda x, _: np.full_like(x, -1),
):
    """x times -1."""


class Sign(
    Function,
    title="sign",
    summary="-1, 0 or 1: the sign of x",
    at=np.sign,
    slope_at=lambda x, _: np.zeros_like(x),
):
    """-1 where x is negative, 0 where it is 0, else 1; in training a constant.

    Its derivative is 0; at 0 it has none, which counts as 0, too.
    """

    is_monotonic = True
