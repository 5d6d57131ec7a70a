"""Dropout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pulsarray.compiler.ir.mantissas import Part, Rounding
from pulsarray.compiler.ir.operator import Drawn, Operator
from pulsarray.compiler.ir.value import Array, Shape
from pulsarray.compiler.numerics.mantissas import factor
from pulsarray.errors import InputError

__all__ = ["Dropout"]


@dataclass(frozen=True)
class Dropout(
    Operator,
    title="dropout",
    summary="in training 0 with a probability, else the identity",
    reads=("x", "mask?"),
):
    """In training, elements become 0 with probability ``rate``, the others grow by 1/(1-rate).

    In inference the identity (Srivastava et al. 2014, in its inverted form), and so it is here
    without a mask. Training draws one for each step: 1 where an element is left, else 0.
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
        if any(shape != shapes[0] for shape in shapes):
            raise InputError(f"mask must have shape {shapes[0]}, not {shapes[1]}")
        return shapes[0]

    @property
    def share(self) -> float:
        """What an element that is left is multiplied by."""
        return 1.0 / (1.0 - self.rate)

    def real(self, *arrays: Array) -> Array:
        """The input, or what the mask leaves of it."""
        x, *masks = arrays
        return np.asarray(x * masks[0] * x.dtype.type(self.share)) if masks else x

    def mantissas(self, parts: Sequence[Part], rounding: Rounding) -> Part:
        """What the mask leaves, times the share."""
        (x, e_x), *masks = parts
        if not masks:
            return rounding.rounded(x, e_x)
        share, e_share = factor(self.share, "share")
        return rounding.rounded(x * masks[0][0] * share, e_x + e_share)

    def gradient(self, arrays: Sequence[Array], result: Array, error: Array) -> list[Array | None]:
        """The same of the error; the mask is no variable."""
        return [self.real(error, *arrays[1:]), *(None for _ in arrays[1:])]

    @classmethod
    def draw(cls, rng: np.random.Generator, shape: Shape) -> Drawn | None:
        """Any rate."""
        return cls(float(rng.uniform())), ()
