"""Loop nests as arrays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["nest", "wrapped"]


def nest(counts: Sequence[int], steps: Sequence[int]) -> npt.NDArray[np.int64]:
    """Sum of index times step of every iteration, level 0 outermost, flat."""
    total = np.zeros(1, np.int64)
    for count, step in zip(counts, steps, strict=True):
        if count > 1:
            total = (total[:, None] + np.arange(count) * step).reshape(-1)
    return total


def wrapped(positions: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Positions as the signed 16-bit numbers of the window test."""
    return (positions + 0x8000) % 0x10000 - 0x8000
