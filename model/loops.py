"""Loop nests: the numbers that an instruction's counts and strides run through."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Nest", "nest", "wrapped"]

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


@dataclass(frozen=True, slots=True)
class Nest:
    """Words of a bank in the order in which an instruction touches them.

    Parameters
    ----------
    base
        First word.
    counts, strides
        Iterations and step in words of each level, level 0 outermost.
    """

    base: int
    counts: Sequence[int]
    strides: Sequence[int]

    def rows(self) -> Words:
        """Every word's address: 16 bits, as the machine counts."""
        return (self.base + nest(self.counts, self.strides)) & 0xFFFF

    def within(self, depth: int) -> bool:
        """Whether no address, before its cut to 16 bits, is outside 0 to ``depth - 1``."""
        low = high = self.base
        for count, stride in zip(self.counts, self.strides, strict=True):
            if stride > 0:
                high += (count - 1) * stride
            else:
                low += (count - 1) * stride
        return low >= 0 and high < depth
