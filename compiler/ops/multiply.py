"""Products of two values, element by element."""

from __future__ import annotations

from collections.abc import Sequence

from pulsarray.compiler.ir.mantissas import Part, Rounding
from pulsarray.compiler.ir.value import Array
from pulsarray.compiler.ops.binary import Binary
from pulsarray.compiler.ops.exact import product

__all__ = ["Multiply"]


class Multiply(Binary, title="multiply", summary="a * b, element by element", reads=("a", "b")):
    """The product of two values."""

    keeps_others = True

    def apply(self, a: Array, b: Array) -> Array:
        """The function."""
        return a * b

    def slopes(self, a: Array, b: Array, error: Array) -> tuple[Array, Array]:
        """By both."""
        return error * b, error * a

    def mantissas(self, parts: Sequence[Part], rounding: Rounding) -> Part:
        """Exact sums, rounded once."""
        return rounding.rounded(*product(self.real, parts))

    def gradient_reads(self, place: int) -> tuple[int, ...]:
        """The other."""
        return (1 - place,)
