"""Whole numbers near x."""

from __future__ import annotations

import numpy as np

from pulsarray.compiler.ops.function import Function

__all__ = ["Ceil", "Floor", "Round"]


class _Steps(Function, slope_at=lambda x, _: np.zeros_like(x)):
    """Constant between whole numbers: its derivative is 0, at steps, where it has none, too."""

    is_monotonic = True


class Floor(_Steps, title="floor", summary="the largest whole number up to x", at=np.floor):
    """The largest whole number up to x."""


class Ceil(_Steps, title="ceil", summary="the smallest whole number from x on", at=np.ceil):
    """The smallest whole number from x on."""


class Round(
    _Steps, title="round", summary="the whole number nearest to x, halves to even", at=np.rint
):
    """The whole number nearest to x, halves to even."""
