"""What definitions on 16-bit mantissas with shared exponents read and give, and are lent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

__all__ = ["Exact", "Part", "Rounding"]

Ints = npt.NDArray[np.int64]
Part = tuple[Ints, int]
"""Integers, int64, and their exponent: real value = integer * 2^exponent."""


class Rounding(Protocol):
    """How the result of an operator is kept."""

    @property
    def segments(self) -> int:
        """Of the function tables."""

    def rounded(self, values: Ints, exponent: int) -> Part:
        """The result from exact values, by its format."""

    def guarded(self, level: int) -> int:
        """The exponent with guard bits below that of a result of so many bits above 2^0."""


class Exact(Protocol):
    """The gradient of an operator by an input, as an operator of its own."""

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shapes of all inputs of the operator, then of its result."""

    def real(self, *arrays: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The definition in real numbers."""

    def exactly(self, parts: Sequence[Part]) -> Part:
        """The same of integers, where it is a product of all that it reads: nothing is rounded."""
