"""Differences of two values."""

from __future__ import annotations

from dataclasses import dataclass

from pulsarray.compiler.ir.value import Array
from pulsarray.compiler.ops.binary import Binary

__all__ = ["Subtract"]


@dataclass(frozen=True)
class Subtract(Binary, title="subtract", summary="a - b, element by element", reads=("a", "b")):
    """The difference of two values."""

    def apply(self, a: Array, b: Array) -> Array:
        """The function."""
        return a - b

    def slopes(self, a: Array, b: Array, error: Array) -> tuple[Array, Array]:
        """By both."""
        return error, -error

    def gradient_reads(self, place: int) -> tuple[int, ...]:
        """Nothing."""
        return ()
