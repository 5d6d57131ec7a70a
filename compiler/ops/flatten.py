"""Maps as vectors, and vectors as maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from pulsarray.compiler.ir.operator import Drawn, Operator
from pulsarray.compiler.ir.value import Array, Shape
from pulsarray.errors import InputError

__all__ = ["Flatten", "Unflatten"]


class Flatten(Operator, title="flatten", summary="all elements in one dimension", reads=("x",)):
    """All of a sample's elements in one dimension, in order."""

    only_moves = True
    only_chooses = True

    def shape(self, *shapes: Shape) -> Shape:
        """Shape of the result."""
        return (prod(shapes[0]),)

    def real(self, *arrays: Array) -> Array:
        """The same elements."""
        return arrays[0].reshape(len(arrays[0]), -1)

    def gradient(self, arrays: Sequence[Array], result: Array, error: Array) -> list[Array | None]:
        """The same elements."""
        return [error.reshape(arrays[0].shape)]


@dataclass(frozen=True)
class Unflatten(
    Operator,
    title="unflatten",
    summary="a vector as a map, its elements in any order",
    reads=("x",),
):
    """A vector as a map (H, W, C), of which element i, in order, is the vector's ``order[i]``."""

    only_moves = True
    only_chooses = True

    sizes: tuple[int, ...]
    order: tuple[int, ...]

    def shape(self, *shapes: Shape) -> Shape:
        """Shape of the result.

        Raises
        ------
        InputError
            If the input is no vector of so many elements, or the order no permutation of them.
        """
        (x,) = shapes
        if len(self.sizes) != 3 or x != (prod(self.sizes),):
            raise InputError(f"a value of shape {x} cannot become {self.sizes}")
        if sorted(self.order) != list(range(x[0])):
            raise InputError(f"order must be a permutation of {x[0]} elements")
        return self.sizes

    def real(self, *arrays: Array) -> Array:
        """Elements in their order."""
        (x,) = arrays
        return x[:, list(self.order)].reshape(len(x), *self.sizes)

    def gradient(self, arrays: Sequence[Array], result: Array, error: Array) -> list[Array | None]:
        """Each element back to its place."""
        return [error.reshape(arrays[0].shape)[:, np.argsort(self.order)]]

    @classmethod
    def draw(cls, rng: np.random.Generator, shape: Shape) -> Drawn | None:
        """Vectors of elements in any order, as maps of any two or three sizes."""
        if len(shape) != 1:
            return None
        height = int(rng.choice([n for n in range(1, shape[0] + 1) if shape[0] % n == 0]))
        sizes = (height, 1, shape[0] // height)
        order = tuple(rng.permutation(shape[0]).tolist())
        return cls(tuple(rng.permutation(sizes).tolist()), order), ()
