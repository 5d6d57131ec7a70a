"""Values side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pulsarray.compiler.ir.operator import Drawn, Operator
from pulsarray.compiler.ir.value import Array, Shape
from pulsarray.compiler.ops.images import channels
from pulsarray.errors import InputError

__all__ = ["Concat"]


@dataclass(frozen=True)
class Concat(
    Operator, title="concat", summary="values side by side along the channels", reads=("x...",)
):
    """Values side by side along the channels."""

    only_moves = True
    only_chooses = True

    def shape(self, *shapes: Shape) -> Shape:
        """Shape of the result.

        Raises
        ------
        InputError
            If anything but channels differs.
        """
        channels(shapes[0])
        if any(not shape or shape[:-1] != shapes[0][:-1] for shape in shapes):
            raise InputError(
                f"inputs must differ in channels only, not {', '.join(map(str, shapes))}"
            )
        return (*shapes[0][:-1], sum(shape[-1] for shape in shapes))

    def real(self, *arrays: Array) -> Array:
        """All of them along the last axis."""
        return np.concatenate(arrays, axis=-1)

    def gradient(self, arrays: Sequence[Array], result: Array, error: Array) -> list[Array | None]:
        """To each its part."""
        ends = np.cumsum([array.shape[-1] for array in arrays])
        return list(np.split(error, ends[:-1], axis=-1))

    @classmethod
    def draw(cls, rng: np.random.Generator, shape: Shape) -> Drawn | None:
        """Up to two more, of up to 4 channels."""
        if not shape:
            return None
        counts = rng.integers(1, 5, int(rng.integers(0, 3)))
        return cls(), tuple((*shape[:-1], int(count)) for count in counts)
