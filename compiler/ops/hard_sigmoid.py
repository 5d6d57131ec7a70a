"""Straight lines in the place of the sigmoid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pulsarray.compiler.ir.value import Array
from pulsarray.compiler.ops.function import Function

__all__ = ["HardSigmoid", "HardSwish"]


@dataclass(frozen=True)
class HardSigmoid(
    Function,
    title="hard_sigmoid",
    summary="alpha * x + beta, cut to the interval from 0 to 1",
):
    """``alpha * x + beta``, cut to the interval from 0 to 1 (Courbariaux et al. 2015)."""

    alpha: float = 0.2
    beta: float = 0.5
    draws = ((0.1, 0.4), (0.3, 0.7))

    def real(self, *arrays: Array) -> Array:
        """At x."""
        return np.asarray(np.clip(self.alpha * arrays[0] + self.beta, 0.0, 1.0))

    def derivative(self, x: Array, result: Array) -> Array:
        """The slope alpha where nothing was cut off."""
        return np.asarray(self.alpha * ((result > 0.0) & (result < 1.0)))


class HardSwish(
    Function,
    title="hard_swish",
    summary="x * clip(x + 3, 0, 6) / 6",
    at=lambda x: x * np.clip(x / 6.0 + 0.5, 0.0, 1.0),
    slope_at=lambda x, _: np.where(abs(x) < 3.0, x / 3.0 + 0.5, x > 0.0),
):
    """``x * clip(x + 3, 0, 6) / 6`` (Howard et al. 2019)."""
