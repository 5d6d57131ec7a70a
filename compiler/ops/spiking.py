"""Spiking neurons: what a membrane's potential gives, and what is left of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pulsarray.compiler.ir.operator import Drawn
from pulsarray.compiler.ir.value import Array, Shape
from pulsarray.compiler.ops.function import Function

__all__ = ["Membrane", "Spike"]


@dataclass(frozen=True)
class Spike(Function, title="spike", summary="1 where x is above the threshold", reads=("x",)):
    """1 where a potential is above the threshold, else 0; its derivative counts as 0."""

    is_monotonic = True

    threshold: float = 1.0

    def real(self, *arrays: Array) -> Array:
        """At x."""
        return (arrays[0] > self.threshold).astype(arrays[0].dtype)

    def derivative(self, x: Array, result: Array) -> Array:
        """0, but at the threshold, where it has none and counts as 0, too."""
        return np.zeros_like(x)

    @classmethod
    def draw(cls, rng: np.random.Generator, shape: Shape) -> Drawn | None:
        """Thresholds that random values exceed at times."""
        return cls(float(rng.uniform(0.2, 1.0))), ()


@dataclass(frozen=True)
class Membrane(
    Function,
    title="membrane",
    summary="decay * what a spike leaves of x (x - threshold, or a potential given) + drift",
    reads=("x",),
):
    """What a step leaves of a leaky potential: reset where it spiked, then times ``decay``.

    ``drift`` is added. The reset takes the threshold off, or sets the potential to ``reset`` where
    that is given.
    """

    decay: float = 1.0
    threshold: float = 1.0
    reset: float | None = None
    drift: float = 0.0

    def real(self, *arrays: Array) -> Array:
        """At x."""
        x = arrays[0]
        left = x - self.threshold if self.reset is None else np.full_like(x, self.reset)
        return np.asarray(self.decay * np.where(x > self.threshold, left, x) + self.drift)

    def derivative(self, x: Array, result: Array) -> Array:
        """The decay, but 0 where the potential was set."""
        kept = 1.0 if self.reset is None else x <= self.threshold
        return np.asarray(self.decay * kept * np.ones_like(x))

    @classmethod
    def draw(cls, rng: np.random.Generator, shape: Shape) -> Drawn | None:
        """Either reset, any decay."""
        decay, threshold, reset = rng.uniform(0.2, 1.0, 3)
        kinds = None, float(reset - threshold)
        return cls(float(decay), float(threshold), kinds[int(rng.integers(2))], 0.125), ()
