"""The reciprocal of the square root of positive numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pulsarray.compiler.ir.value import Array
from pulsarray.compiler.ops.function import Function

__all__ = ["ReciprocalRoot"]


@dataclass(frozen=True)
class ReciprocalRoot(
    Function,
    title="reciprocal_root",
    summary="1 / sqrt(x + epsilon) for x from 0 on",
    positive=(0,),
):
    """``1 / sqrt(x + epsilon)`` for x from 0 on, such as variances."""

    epsilon: float = 0.0

    def real(self, *arrays: Array) -> Array:
        """``1 / sqrt(x + epsilon)``."""
        return np.asarray(1.0 / np.sqrt(arrays[0] + self.epsilon))

    def derivative(self, x: Array, result: Array) -> Array:
        """At x."""
        return np.asarray(-0.5 * result**3)
