"""Values cut to an interval."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

import numpy as np

from pulsarray.compiler.ir.operator import Drawn
from pulsarray.compiler.ir.value import Array, Shape
from pulsarray.compiler.ops.function import Function
from pulsarray.errors import InputError

__all__ = ["Clip"]


@dataclass(frozen=True)
class Clip(Function, title="clip", summary="x cut to the interval from low to high"):
    """Values cut to an interval; without limits a place where a quantized network rounds."""

    is_monotonic = True

    low: float = -inf
    high: float = inf

    def shape(self, *shapes: Shape) -> Shape:
        """Shape of the result, the same.

        Raises
        ------
        InputError
            If the limits are not ordered.
        """
        if not self.low <= self.high:
            raise InputError(f"clip needs low <= high, not {self.low} and {self.high}")
        return shapes[0]

    @property
    def limits(self) -> tuple[float, float]:
        """The interval."""
        return self.low, self.high

    def real(self, *arrays: Array) -> Array:
        """x, or the limit that it is beyond."""
        return np.asarray(np.clip(arrays[0], self.low, self.high))

    def derivative(self, x: Array, result: Array) -> Array:
        """1 where nothing was cut off."""
        return np.asarray(result == x)

    @classmethod
    def draw(cls, rng: np.random.Generator, shape: Shape) -> Drawn | None:
        """Limits around 0 that cut some off."""
        low, high = rng.uniform(0.2, 1.0, 2)
        return cls(-float(low), float(high)), ()
