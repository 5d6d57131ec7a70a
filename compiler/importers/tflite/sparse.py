"""Sparse constants of TensorFlow Lite files: where the elements that are written belong.

A tree has a level a dimension, then one a block's dimension, in the order of traversal. A dense
level has every index, a sparse one (compressed sparse row) those that it lists for each node of
the level above. The leaves, in order, are the elements.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import tflite

from pulsarray.errors import InputError

__all__ = ["Level", "Sparsity", "read_sparsity"]

Ints = npt.NDArray[np.int64]
_LEVELS = 16
_LARGEST = 1 << 27
_VECTORS = {
    tflite.SparseIndexVector.Int32Vector: tflite.Int32Vector,
    tflite.SparseIndexVector.Uint16Vector: tflite.Uint16Vector,
    tflite.SparseIndexVector.Uint8Vector: tflite.Uint8Vector,
}


@dataclass(frozen=True, eq=False)
class Level:
    """A level: how many indices a dense one has, or where each node's begin, and all of them."""

    size: int
    segments: Ints | None = None
    indices: Ints | None = None

    def children(self, nodes: int) -> tuple[Ints, Ints]:
        """For each node below so many: which is above it, and its index.

        Raises
        ------
        InputError
            If a sparse level does not have a list for each node above.
        """
        if self.segments is None or self.indices is None:
            if nodes * self.size > _LARGEST:
                raise InputError("a sparse constant is too large")
            return np.repeat(np.arange(nodes), self.size), np.tile(np.arange(self.size), nodes)
        counts = np.diff(self.segments)
        fits = len(counts) == nodes and self.segments[0] == 0 and not (counts < 0).any()
        if not fits or self.segments[-1] != len(self.indices):
            raise InputError("a sparse constant has segments that do not fit its indices")
        return np.repeat(np.arange(nodes), counts), self.indices


@dataclass(frozen=True, eq=False)
class Sparsity:
    """How a sparse constant is written.

    Parameters
    ----------
    order
        Dimension of each level; those from the rank on are of blocks.
    blocked
        Dimension of the tensor of each dimension of blocks.
    levels
        The levels, outermost first.
    """

    order: tuple[int, ...]
    blocked: tuple[int, ...]
    levels: tuple[Level, ...]

    def dense(self, elements: npt.NDArray[Any], shape: Sequence[int]) -> npt.NDArray[Any]:
        """All elements of a constant of a shape, those that are not written 0.

        Raises
        ------
        InputError
            If this is not how one of that shape and number of elements can be written.
        """
        rank = len(shape)
        known = sorted(self.order) == [*range(rank + len(self.blocked))]
        if (
            not known
            or len(self.levels) != len(self.order)
            or not set(self.blocked) <= {*range(rank)}
        ):
            raise InputError("a sparse constant has levels that are not its dimensions")
        places = self._places(rank)
        whole = [(axis >= 0) & (axis < n) for axis, n in zip(places, shape, strict=True)]
        if len(places[0]) != len(elements) or not np.all(whole):
            raise InputError(f"a sparse constant of shape {tuple(shape)} has elements outside it")
        made = np.zeros(shape, elements.dtype)
        made[tuple(places)] = elements
        return made

    def _places(self, rank: int) -> list[Ints]:
        """Index of each element along each dimension of the tensor."""
        along: dict[int, Ints] = {}
        count = 1
        for dimension, level in zip(self.order, self.levels, strict=True):
            above, indices = level.children(count)
            along = {d: values[above] for d, values in along.items()} | {dimension: indices}
            count = len(indices)
        for number, dimension in enumerate(self.blocked):
            size = self.levels[self.order.index(rank + number)].size
            along[dimension] = along[dimension] * size + along[rank + number]
        return [along[dimension] for dimension in range(rank)]


def read_sparsity(table: Any) -> Sparsity:
    """From a file's table.

    Raises
    ------
    InputError
        If it is not complete.
    """
    count = table.DimMetadataLength()
    if not 1 <= count <= _LEVELS:
        raise InputError(f"a sparse constant has {count} levels")
    levels = tuple(_level(table.DimMetadata(k)) for k in range(count))
    return Sparsity(_ints(table.TraversalOrderAsNumpy()), _ints(table.BlockMapAsNumpy()), levels)


def _ints(numbers: Any) -> tuple[int, ...]:
    """Numbers of a vector, which a reader gives as 0 if it is absent."""
    return () if isinstance(numbers, int) else tuple(int(n) for n in numbers[: _LEVELS + 1])


def _level(table: Any) -> Level:
    if table.Format() == tflite.DimensionType.DENSE:
        if not 0 < table.DenseSize() <= _LARGEST:
            raise InputError(f"a sparse constant has a level of {table.DenseSize()}")
        return Level(int(table.DenseSize()))
    segments = _vector(table.ArraySegmentsType(), table.ArraySegments())
    indices = _vector(table.ArrayIndicesType(), table.ArrayIndices())
    return Level(0, segments, indices)


def _vector(kind: int, table: Any) -> Ints:
    if kind not in _VECTORS or table is None:
        raise InputError("a sparse constant has no list of indices")
    vector = _VECTORS[kind]()
    vector.Init(table.Bytes, table.Pos)
    values = vector.ValuesAsNumpy()
    if isinstance(values, int) or not len(values):
        raise InputError("a sparse constant has an empty list of indices")
    return np.asarray(values, np.int64)
