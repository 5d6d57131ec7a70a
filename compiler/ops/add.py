"""Sums of two values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pulsarray.compiler.ir.operator import Drawn, Operator
from pulsarray.compiler.ir.value import Array, Shape
from pulsarray.errors import InputError

__all__ = ["Add"]


@dataclass(frozen=True)
class Add(Operator, title="add", summary="a + b, element by element", reads=("a", "b")):
    """The sum of two values of one shape."""

    def shape(self, *shapes: Shape) -> Shape:
        """Shape of the result, the same.

        Raises
        ------
        InputError
            If they do not have one shape.
        """
        if shapes[0] != shapes[1]:
            raise InputError(f"needs two inputs of one shape, not {shapes[0]} and {shapes[1]}")
        return shapes[0]

    def real(self, *arrays: Array) -> Array:
        """``a + b``."""
        return np.asarray(arrays[0] + arrays[1])

    def gradient(self, arrays: Sequence[Array], result: Array, error: Array) -> list[Array | None]:
        """The same for both."""
        return [error, error]

    @classmethod
    def draw(cls, rng: np.random.Generator, shape: Shape) -> Drawn | None:
        """Any two of one shape."""
        return cls(), (shape,)
