"""Dropout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pulsarray.compiler.ir.operator import Drawn, Operator
from pulsarray.compiler.ir.value import Array, Shape
from pulsarray.errors import InputError

__all__ = ["Dropout"]


@dataclass(frozen=True)
class Dropout(
    Operator,
    title="dropout",
    summary="in training 0 with a probability, else the identity",
    reads=("x",),
):
    """In training, elements become 0 with probability ``rate``, the others grow by 1/(1-rate).

    In inference the identity (Srivastava et al. 2014, in its inverted form), and so it is here.
    """

    only_trains = True

    rate: float

    def shape(self, *shapes: Shape) -> Shape:
        """Shape of the result, the same.

        Raises
        ------
        InputError
            If the rate is not a probability below 1.
        """
        if not 0.0 <= self.rate < 1.0:
            raise InputError(f"rate must be 0 to below 1, not {self.rate}")
        return shapes[0]

    def real(self, *arrays: Array) -> Array:
        """The input."""
        return arrays[0]

    def gradient(self, arrays: Sequence[Array], result: Array, error: Array) -> list[Array | None]:
        """The same."""
        return [error]

    @classmethod
    def draw(cls, rng: np.random.Generator, shape: Shape) -> Drawn | None:
        """Any rate."""
        return cls(float(rng.uniform())), ()
