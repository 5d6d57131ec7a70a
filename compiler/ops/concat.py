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
    Operator, title="concat", summary="values side by side along an axis", reads=("x...",)
):
    """Values side by side along an axis, counted from the end: -1 are the channels."""

    only_moves = True
    only_chooses = True

    axis: int = -1

    def shape(self, *shapes: Shape) -> Shape:
        """Shape of the result.

        Raises
        ------
        InputError
            If there is no such axis, or anything else differs.
        """
        axis, first = self.axis, shapes[0]
        channels(first)
        if not -len(first) <= axis < 0:
            raise InputError(f"a value of shape {first} has no axis {axis}")
        others = {(*shape[:axis], *shape[len(shape) + axis + 1 :]) for shape in shapes}
        if len(others) > 1 or any(len(shape) != len(first) for shape in shapes):
            along = "channels" if axis == -1 else f"axis {axis}"
            raise InputError(
                f"inputs must differ in {along} only, not {', '.join(map(str, shapes))}"
            )
        total = sum(shape[axis] for shape in shapes)
        return (*first[:axis], total, *first[len(first) + axis + 1 :])

    def real(self, *arrays: Array) -> Array:
        """All of them along the axis."""
        return np.concatenate(arrays, axis=self.axis)

    def gradient(self, arrays: Sequence[Array], result: Array, error: Array) -> list[Array | None]:
        """To each its part."""
        ends = np.cumsum([array.shape[self.axis] for array in arrays])
        return list(np.split(error, ends[:-1], axis=self.axis))

    @classmethod
    def draw(cls, rng: np.random.Generator, shape: Shape) -> Drawn | None:
        """Up to two more, of up to 4 along any axis."""
        if not shape:
            return None
        axis, counts = -int(rng.integers(1, len(shape) + 1)), rng.integers(1, 5, rng.integers(3))
        end = len(shape) + axis + 1
        return cls(axis), tuple((*shape[:axis], int(n), *shape[end:]) for n in counts)
