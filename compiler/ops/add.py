"""Sums of two values."""

from __future__ import annotations

from collections.abc import Sequence

from pulsarray.compiler.ir.mantissas import Part, Rounding
from pulsarray.compiler.ir.value import Array
from pulsarray.compiler.ops.binary import Binary
from pulsarray.compiler.ops.exact import total

__all__ = ["Add"]


class Add(Binary, title="add", summary="a + b, element by element", reads=("a", "b")):
    """The sum of two values."""

    def apply(self, a: Array, b: Array) -> Array:
        """The function."""
        return a + b

    def slopes(self, a: Array, b: Array, error: Array) -> tuple[Array, Array]:
        """By both."""
        return error, error

    def mantissas(self, parts: Sequence[Part], rounding: Rounding) -> Part:
        """With guard bits, then rounded."""
        return rounding.rounded(*total(parts, rounding))

    def gradient_reads(self, place: int) -> tuple[int, ...]:
        """Nothing."""
        return ()
