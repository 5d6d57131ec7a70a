"""Sums, means and largest elements along axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from pulsarray.compiler.ir.operator import Drawn, Operator
from pulsarray.compiler.ir.value import Array, Shape
from pulsarray.errors import InputError

__all__ = ["ReduceMax", "ReduceMean", "ReduceSum"]


@dataclass(frozen=True)
class _Reduction(Operator):
    """What they have in common.

    Parameters
    ----------
    axes
        Axes of a sample, counted from the last as -1, -2, ...
    keep
        Whether they stay, with size 1.
    """

    axes: tuple[int, ...] = (-1,)
    keep: bool = True

    def shape(self, *shapes: Shape) -> Shape:
        """Shape of the result.

        Raises
        ------
        InputError
            If an axis does not exist or is named twice.
        """
        (x,) = shapes
        if len({*self.axes}) != len(self.axes) or not all(-len(x) <= a < 0 for a in self.axes):
            raise InputError(
                f"axes must be different ones of {[*range(-len(x), 0)]}, not {self.axes}"
            )
        sizes = [(size, axis - len(x) in self.axes) for axis, size in enumerate(x)]
        return tuple(1 if gone else size for size, gone in sizes if self.keep or not gone)

    def _spread(self, values: Array) -> Array:
        """Results, or their gradients, as they meet the elements of x."""
        return np.asarray(values if self.keep else np.expand_dims(values, self.axes))

    def _count(self, x: Array) -> int:
        """Elements that become one."""
        return prod(x.shape[axis] for axis in self.axes)

    @classmethod
    def draw(cls, rng: np.random.Generator, shape: Shape) -> Drawn | None:
        """Some axes, which stay or go."""
        if not shape:
            return None
        axes = rng.permutation(len(shape))[: int(rng.integers(1, len(shape) + 1))] - len(shape)
        return cls(tuple(axes.tolist()), bool(rng.integers(2))), ()


class ReduceSum(_Reduction, title="reduce_sum", summary="sums along axes", reads=("x",)):
    """Sums along axes."""

    def real(self, *arrays: Array) -> Array:
        """All sums."""
        return np.asarray(arrays[0].sum(axis=self.axes, keepdims=self.keep))

    def gradient(self, arrays: Sequence[Array], result: Array, error: Array) -> list[Array | None]:
        """The same for all elements."""
        return [np.broadcast_to(self._spread(error), arrays[0].shape)]


class ReduceMean(_Reduction, title="reduce_mean", summary="means along axes", reads=("x",)):
    """Means along axes."""

    def real(self, *arrays: Array) -> Array:
        """All means."""
        return np.asarray(arrays[0].mean(axis=self.axes, keepdims=self.keep))

    def gradient(self, arrays: Sequence[Array], result: Array, error: Array) -> list[Array | None]:
        """The same part for all elements."""
        (x,) = arrays
        return [np.broadcast_to(self._spread(error) / self._count(x), x.shape)]


class ReduceMax(_Reduction, title="reduce_max", summary="largest along axes", reads=("x",)):
    """The largest element along axes."""

    only_chooses = True

    def real(self, *arrays: Array) -> Array:
        """All of the largest."""
        return np.asarray(arrays[0].max(axis=self.axes, keepdims=self.keep))

    def gradient(self, arrays: Sequence[Array], result: Array, error: Array) -> list[Array | None]:
        """In equal parts to all that are the largest."""
        (x,) = arrays
        largest = x == self._spread(result)
        counts = largest.sum(axis=self.axes, keepdims=True).astype(x.dtype)
        return [largest * (self._spread(error) / counts)]
