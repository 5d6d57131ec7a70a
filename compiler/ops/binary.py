"""What functions of two values, element by element, have in common; each is a file of its own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pulsarray.compiler.ir.operator import Drawn, Operator
from pulsarray.compiler.ir.value import Array, Shape
from pulsarray.errors import InputError

__all__ = ["Binary"]


class Binary(Operator):
    """A function of two values, element by element: a subclass gives ``apply`` and ``slopes``.

    Where one value has size 1 in an axis, or lacks it (axes are counted from the last), it is the
    same for all of the other's elements there.
    """

    def shape(self, *shapes: Shape) -> Shape:
        """Shape of the result.

        Raises
        ------
        InputError
            If the sizes of an axis are neither equal nor 1.
        """
        try:
            return np.broadcast_shapes(*shapes)
        except ValueError:
            raise InputError(
                f"needs two inputs of one shape, or sizes of 1, not {shapes[0]} and {shapes[1]}"
            ) from None

    def apply(self, a: Array, b: Array) -> Array:
        """The function."""
        raise NotImplementedError

    def slopes(self, a: Array, b: Array, error: Array) -> tuple[Array, Array]:
        """Gradients by both, as large as the result, from that by the result."""
        raise NotImplementedError

    def real(self, *arrays: Array) -> Array:
        """The function of all pairs of elements."""
        return np.asarray(self.apply(*_aligned(arrays)))

    def gradient(self, arrays: Sequence[Array], result: Array, error: Array) -> list[Array | None]:
        """By both; those of an element that meets several are summed."""
        aligned = _aligned(arrays)
        slopes = self.slopes(*aligned, error)
        return [
            _summed(slope, near.shape).reshape(array.shape)
            for slope, near, array in zip(slopes, aligned, arrays, strict=True)
        ]

    @classmethod
    def draw(cls, rng: np.random.Generator, shape: Shape) -> Drawn | None:
        """A second value of the same shape, or with some sizes of 1, or without the first axes."""
        kept = tuple(size if rng.integers(3) else 1 for size in shape)
        return cls(), (
            [shape, shape, kept, kept[int(rng.integers(len(shape) + 1)) :]][rng.integers(4)],
        )


def _aligned(arrays: Sequence[Array]) -> tuple[Array, Array]:
    """Both with as many axes, those that one lacks behind the batch."""
    first, second = arrays
    rank = max(first.ndim, second.ndim)
    return _ranked(first, rank), _ranked(second, rank)


def _ranked(array: Array, rank: int) -> Array:
    return array.reshape(len(array), *(1,) * (rank - array.ndim), *array.shape[1:])


def _summed(slope: Array, shape: Shape) -> Array:
    """A gradient summed over the axes in which a value has size 1."""
    axes = tuple(axis for axis, size in enumerate(shape) if size != slope.shape[axis])
    return np.asarray(slope.sum(axis=axes, keepdims=True)) if axes else slope
