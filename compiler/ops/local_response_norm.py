"""Local response normalization."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pulsarray.compiler.ir.operator import Drawn, Operator
from pulsarray.compiler.ir.value import Array, Shape
from pulsarray.compiler.ops.images import channels
from pulsarray.errors import InputError

__all__ = ["LocalResponseNorm"]


@dataclass(frozen=True)
class LocalResponseNorm(
    Operator,
    title="local_response_norm",
    summary="x / (bias + alpha / size * (sum of squares of near channels)) ^ beta",
    reads=("x",),
):
    """``x / (bias + alpha / size * (sum of x^2 over size channels around it)) ^ beta``.

    Krizhevsky et al. 2012, as the ONNX operator LRN.
    """

    size: int
    alpha: float = 1e-4
    beta: float = 0.75
    bias: float = 1.0

    def shape(self, *shapes: Shape) -> Shape:
        """Shape of the result, the same.

        Raises
        ------
        InputError
            If a parameter is out of its range, or there are no channels.
        """
        channels(shapes[0])
        if self.size < 1 or self.bias <= 0.0 or self.alpha < 0.0:
            raise InputError(
                "needs size >= 1, bias > 0 and alpha >= 0, "
                f"not {self.size}, {self.bias} and {self.alpha}"
            )
        return shapes[0]

    def neighbours(self, count: int) -> Array:
        """Which of so many channels count for which, (C, C) of 0 and 1."""
        place = np.arange(count)
        distance = place[:, None] - place[None, :]
        before, after = self._reach
        inside = (distance >= -before) & (distance <= after)
        return np.asarray(inside, np.float64)

    def denominator(self, squares: Array) -> Array:
        """What x is divided by, from the sums of squares."""
        return np.asarray((self.bias + self.alpha / self.size * squares) ** self.beta)

    @property
    def _reach(self) -> tuple[int, int]:
        """Channels that count before and after each one."""
        return (self.size - 1) // 2, -(-(self.size - 1) // 2)

    def _sums(self, values: Array, before: int, after: int) -> Array:
        """Sums of each channel and so many before and after it."""
        around = np.pad(values, [(0, 0)] * (values.ndim - 1) + [(before, after)])
        count = values.shape[-1]
        return np.asarray(sum(around[..., k : k + count] for k in range(self.size)))

    def real(self, *arrays: Array) -> Array:
        """Elements divided by the power of the sums."""
        (x,) = arrays
        return np.asarray(x / self.denominator(self._sums(x * x, *self._reach)).astype(x.dtype))

    def gradient(self, arrays: Sequence[Array], result: Array, error: Array) -> list[Array | None]:
        """By x: as the numerator, and as a part of the sums of those for which it counts."""
        (x,) = arrays
        before, after = self._reach
        sums = self.bias + self.alpha / self.size * self._sums(x * x, before, after)
        shares = self._sums(error * x * sums ** (-self.beta - 1), after, before)
        by_sums = 2 * self.alpha * self.beta / self.size * x * shares
        return [error * sums**-self.beta - by_sums]

    @classmethod
    def draw(cls, rng: np.random.Generator, shape: Shape) -> Drawn | None:
        """Up to 5 channels, which make a difference."""
        alpha, beta, bias = (float(number) for number in rng.uniform(0.3, 1.5, 3))
        return (cls(int(rng.integers(1, 6)), alpha, beta, bias), ()) if shape else None
