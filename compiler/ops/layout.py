"""Elements in other places: other sizes, other orders of axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from pulsarray.compiler.ir.operator import Drawn, Operator
from pulsarray.compiler.ir.value import Array, Shape
from pulsarray.errors import InputError

__all__ = ["Reshape", "Transpose"]


@dataclass(frozen=True)
class Reshape(Operator, title="reshape", summary="the same elements, other sizes", reads=("x",)):
    """The same elements in order, in axes of other sizes."""

    only_moves = True
    only_chooses = True

    sizes: Shape

    def shape(self, *shapes: Shape) -> Shape:
        """Shape of the result: the sizes.

        Raises
        ------
        InputError
            If they have another number of elements.
        """
        if min(self.sizes, default=1) < 1 or prod(self.sizes) != prod(shapes[0]):
            raise InputError(f"a value of shape {shapes[0]} cannot become {self.sizes}")
        return self.sizes

    def real(self, *arrays: Array) -> Array:
        """The same elements."""
        return arrays[0].reshape(len(arrays[0]), *self.sizes)

    def gradient(self, arrays: Sequence[Array], result: Array, error: Array) -> list[Array | None]:
        """The same elements."""
        return [error.reshape(arrays[0].shape)]

    @classmethod
    def draw(cls, rng: np.random.Generator, shape: Shape) -> Drawn | None:
        """One axis as two, at any place."""
        size, sizes = prod(shape), [*shape]
        rng.shuffle(sizes)
        first = int(rng.choice([n for n in range(1, size + 1) if size % n == 0]))
        return cls(tuple(sizes) if rng.integers(2) else (first, size // first)), ()


@dataclass(frozen=True)
class Transpose(Operator, title="transpose", summary="axes in another order", reads=("x",)):
    """Axes in another order: axis ``i`` of the result is axis ``order[i]``, without the batch."""

    only_moves = True
    only_chooses = True

    order: tuple[int, ...]

    def shape(self, *shapes: Shape) -> Shape:
        """Shape of the result.

        Raises
        ------
        InputError
            If the order is not one of all axes.
        """
        (x,) = shapes
        if sorted(self.order) != [*range(len(x))]:
            raise InputError(f"order must be a permutation of {len(x)} axes, not {self.order}")
        return tuple(x[axis] for axis in self.order)

    def real(self, *arrays: Array) -> Array:
        """Axes in their order."""
        return arrays[0].transpose(0, *(axis + 1 for axis in self.order))

    def gradient(self, arrays: Sequence[Array], result: Array, error: Array) -> list[Array | None]:
        """Each axis back to its place."""
        return [error.transpose(0, *(int(axis) + 1 for axis in np.argsort(self.order)))]

    @classmethod
    def draw(cls, rng: np.random.Generator, shape: Shape) -> Drawn | None:
        """Any order."""
        return cls(tuple(rng.permutation(len(shape)).tolist())), ()
