"""The order in which a host has the elements of a sample, where it is not that of the machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from pulsarray.errors import InputError

__all__ = ["HostView"]

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class HostView:
    """A sample as a host has it: a shape, and loops that step through the elements as stored.

    Parameters
    ----------
    shape
        Shape of one sample for the host.
    counts, strides
        Loops, outermost first: iterations, and elements from one to the next. The host's elements
        in order are those that the loops visit; each is visited once.
    kinds
        If not 0, the host gives whole numbers below it, and stored is a one-hot row of each: 1 at
        that place, 0 elsewhere.

    Raises
    ------
    ValueError
        If the loops do not visit every element of the shape once.
    """

    shape: Sequence[int]
    counts: Sequence[int]
    strides: Sequence[int]
    kinds: int = 0

    def __post_init__(self) -> None:
        # A file gives lists.
        for name in ("shape", "counts", "strides"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        size = 1
        for stride, count in sorted(zip(self.strides, self.counts, strict=True)):
            if stride != size or count < 1:
                raise ValueError(f"loops {self.counts} by {self.strides} visit no permutation")
            size *= count
        if size != prod(self.shape):
            raise ValueError(f"loops over {size} elements do not fit shape {self.shape}")

    @classmethod
    def plain(cls, shape: Sequence[int]) -> HostView:
        """A shape whose elements are stored in order."""
        return cls(tuple(shape), (prod(shape),), (1,))

    @classmethod
    def of(cls, places: npt.NDArray[np.int64]) -> HostView | None:
        """The view of a permutation in the host's shape; None if no loops step through it."""
        counts, strides, flat = [], [], places.reshape(-1)
        while flat.size > 1:
            stride = int(flat[1] - flat[0])
            line = flat[0] + stride * np.arange(flat.size)
            ends = np.flatnonzero(flat != line)
            count = int(ends[0]) if ends.size else flat.size
            if stride < 1 or flat.size % count:
                return None
            outer = flat[::count]
            if not np.array_equal(flat.reshape(-1, count), outer[:, None] + line[:count] - flat[0]):
                return None
            counts.append(count)
            strides.append(stride)
            flat = outer
        return cls(places.shape, tuple(counts[::-1]), tuple(strides[::-1]))

    @classmethod
    def channels_first(cls, image: Sequence[int]) -> HostView:
        """Images (C, H, W) of feature maps (H, W, C)."""
        height, width, channels = image
        return cls((channels, height, width), (channels, height * width), (1, channels))

    @property
    def places(self) -> npt.NDArray[np.int64]:
        """Where each of the host's elements is stored, in the host's shape."""
        numbers = np.arange(prod(self.shape)).reshape(1, -1)
        return np.asarray(self._of_host(numbers)[0], np.int64)

    def to_host(self, stored: Array) -> Array:
        """Samples in the host's shape, from their elements as stored (samples, ...)."""
        return self._of_host(np.ascontiguousarray(stored).reshape(len(stored), prod(self.shape)))

    def from_host(self, values: Array) -> Array:
        """Elements as stored (samples, elements), from samples in the host's shape or flat.

        Raises
        ------
        InputError
            If they must be whole numbers below :attr:`kinds` and are not.
        """
        stored = np.empty((len(values), prod(self.shape)), values.dtype)
        self._loops(stored)[...] = values.reshape(len(values), *self.counts)
        return self._one_hot(stored) if self.kinds else stored

    def _one_hot(self, numbers: Array) -> Array:
        """A row of 0 and 1 for each number."""
        wrong = numbers[(numbers != np.floor(numbers)) | (numbers < 0) | (numbers >= self.kinds)]
        if wrong.size:
            raise InputError(f"must be whole numbers from 0 to {self.kinds - 1}, not {wrong[0]}")
        rows = numbers[..., None] == np.arange(self.kinds)
        return np.asarray(rows.reshape(len(numbers), -1), numbers.dtype)

    def _of_host(self, stored: Array) -> Array:
        return np.asarray(self._loops(stored).reshape(len(stored), *self.shape))

    def _loops(self, stored: Array) -> Array:
        """The elements of contiguous samples as the loops visit them, not a copy."""
        steps = tuple(stride * stored.itemsize for stride in self.strides)
        return np.lib.stride_tricks.as_strided(
            stored, (len(stored), *self.counts), (stored.strides[0], *steps)
        )
