"""Spikes that learn: a step forward, a smooth slope backward."""

from __future__ import annotations

import numpy as np

from pulsarray.compiler.ir.operator import Kind
from pulsarray.compiler.ir.value import Array
from pulsarray.compiler.ops.function import Function

__all__ = ["SurrogateSpike"]

_WIDEST = 4.0


class SurrogateSpike(
    Function,
    title="surrogate_spike",
    summary="1 where x is above 0, else 0; its derivative counts as 1 / (1 + (pi x)^2), |x| <= 4",
    kind=Kind.TRAINING,
    reads=("x",),
):
    """1 where x is above 0, else 0, with the slope of an arcus tangent (Fang et al. 2021).

    Beyond 4 the slope is that at 4, so that neurons far from their threshold learn, too.
    """

    is_monotonic = True
    has_kinks = True

    @property
    def jumps(self) -> bool:
        """A spike that comes or does not is more than rounding."""
        return True

    def real(self, *arrays: Array) -> Array:
        """1 where x is above 0, else 0."""
        return (arrays[0] > 0.0).astype(arrays[0].dtype)

    def derivative(self, x: Array, result: Array) -> Array:
        """The slope that stands for that of the step."""
        return np.asarray(1.0 / (1.0 + (np.pi * np.clip(x, -_WIDEST, _WIDEST)) ** 2))
