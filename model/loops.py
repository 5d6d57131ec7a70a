"""Loop nests: the numbers that an instruction's counts and strides run through."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["Nest", "Words", "nest", "wrapped"]

Words = npt.NDArray[np.int64]


def nest(counts: Sequence[int], steps: Sequence[int]) -> Words:
    """Sum of index times step of every iteration, level 0 outermost, flat."""
    total = np.zeros(1, np.int64)
    for count, step in zip(counts, steps, strict=True):
        if count > 1:
            total = (total[:, None] + np.arange(count) * step).reshape(-1)
    return total


def wrapped(positions: Words) -> Words:
    """Positions as the signed 16-bit numbers of the window test."""
    return (positions + 0x8000) % 0x10000 - 0x8000


class Nest(NamedTuple):
    """Words of a bank in the order in which an instruction touches them.

    Parameters
    ----------
    base
        First word.
    counts, strides
        Iterations and step in words of each level, level 0 outermost.
    mask
        Bits of an address that the machine counts.
    """

    base: int
    counts: Sequence[int]
    strides: Sequence[int]
    mask: int = 0xFFFF

    def rows(self) -> Words:
        """Every word's address, as the machine counts."""
        return (self.base + nest(self.counts, self.strides)) & self.mask

    def span(self) -> tuple[int, int]:
        """The lowest and the highest address, before their cut to the bits that count."""
        low = high = self.base
        for count, stride in zip(self.counts, self.strides, strict=True):
            if stride > 0:
                high += (count - 1) * stride
            else:
                low += (count - 1) * stride
        return low, high

    def within(self, depth: int) -> bool:
        """Whether no address, before its cut, is outside 0 to ``depth - 1``."""
        low, high = self.span()
        return low >= 0 and high < depth

    def distinct(self) -> bool:
        """Whether no word comes twice, as far as the levels show it one by one."""
        reach = 0
        levels = zip(self.counts, self.strides, strict=True)
        for stride, count in sorted((abs(s), c) for c, s in levels if c > 1):
            if stride <= reach:
                return False
            reach += (count - 1) * stride
        return True

    def word(self, number: int) -> int:
        """The address of the word of a number, 0 the first."""
        address = self.base
        for count, stride in zip(reversed(self.counts), reversed(self.strides), strict=True):
            address += number % count * stride
            number //= count
        return address & self.mask

    def folded(self) -> Nest:
        """The same set of words in as few levels as it takes, every step upwards."""
        base, counts, strides = self.base, list[int](), list[int]()
        for count, stride in zip(self.counts, self.strides, strict=True):
            if count == 1 or not stride:
                continue
            if stride < 0:
                base, stride = base + (count - 1) * stride, -stride
            if strides and strides[-1] == count * stride:
                counts[-1] *= count
                strides[-1] = stride
            else:
                counts.append(count)
                strides.append(stride)
        return Nest(base, counts, strides, self.mask)

    def view(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The words' elements of a flat array that all of them are in, without a copy."""
        if len(self.counts) == 1 and self.strides[0] > 0:  # by far the most, and quicker
            step = self.strides[0]
            return array[self.base : self.base + self.counts[0] * step : step]
        size = array.itemsize
        steps = [size * stride for stride in self.strides]
        return np.ndarray(self.counts, array.dtype, array, size * self.base, steps)
