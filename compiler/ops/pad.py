"""Zeros around feature maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pulsarray.compiler.ir.operator import Drawn, Operator
from pulsarray.compiler.ir.value import Array, Shape
from pulsarray.compiler.ops.images import image, padded, unpadded
from pulsarray.errors import InputError

__all__ = ["Pad"]


@dataclass(frozen=True)
class Pad(Operator, title="pad", summary="zeros around rows and columns", reads=("x",)):
    """Zeros around rows and columns: at top, left, bottom, right."""

    padding: tuple[int, int, int, int]

    def shape(self, *shapes: Shape) -> Shape:
        """Shape of the result.

        Raises
        ------
        InputError
            If a padding is negative, or the input no map.
        """
        height, width, channels = image(shapes[0])
        top, left, bottom, right = self.padding
        if min(self.padding) < 0:
            raise InputError(f"padding must be at least 0, not {self.padding}")
        return (height + top + bottom, width + left + right, channels)

    def real(self, *arrays: Array) -> Array:
        """Zeros around each map."""
        return padded(arrays[0], self.padding)

    def gradient(self, arrays: Sequence[Array], result: Array, error: Array) -> list[Array | None]:
        """What is inside."""
        return [unpadded(error, self.padding)]

    @classmethod
    def draw(cls, rng: np.random.Generator, shape: Shape) -> Drawn | None:
        """Up to two rows and columns at each side of a map."""
        top, left, bottom, right = (int(size) for size in rng.integers(0, 3, 4))
        return (cls((top, left, bottom, right)), ()) if len(shape) == 3 else None
