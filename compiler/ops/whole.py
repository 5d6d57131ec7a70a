"""Whole numbers near x."""

from __future__ import annotations

import numpy as np

from pulsarray.compiler.ir.value import Array
from pulsarray.compiler.ops.function import Function

__all__ = ["Ceil", "Floor", "Round"]


class _Steps(Function):
    """A function that is constant between whole numbers."""

    is_monotonic = True

    def derivative(self, x: Array, result: Array) -> Array:
        """0, but where it steps, where it has none and counts as 0, too."""
        return np.zeros_like(x)


class Floor(_Steps, title="floor", summary="the largest whole number up to x", reads=("x",)):
    """The largest whole number up to x."""

    def real(self, *arrays: Array) -> Array:
        """At x."""
        return np.asarray(np.floor(arrays[0]))


class Ceil(_Steps, title="ceil", summary="the smallest whole number from x on", reads=("x",)):
    """The smallest whole number from x on."""

    def real(self, *arrays: Array) -> Array:
        """At x."""
        return np.asarray(np.ceil(arrays[0]))


class Round(
    _Steps, title="round", summary="the whole number nearest to x, halves to even", reads=("x",)
):
    """The whole number nearest to x, halves to even."""

    def real(self, *arrays: Array) -> Array:
        """At x."""
        return np.asarray(np.rint(arrays[0]))
