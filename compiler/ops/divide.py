"""Quotients of two values."""

from __future__ import annotations

import numpy as np

from pulsarray.compiler.ir.operator import Block, Kind
from pulsarray.compiler.ir.value import Array, Value
from pulsarray.compiler.ops.binary import Binary
from pulsarray.compiler.ops.multiply import Multiply
from pulsarray.compiler.ops.reciprocal import Reciprocal

__all__ = ["Divide"]


class Divide(
    Binary,
    title="divide",
    summary="a / b, element by element",
    kind=Kind.COMPOSITE,
    reads=("a", "b"),
    positive=(1,),
):
    """The quotient of two values, of which the second is never 0."""

    def apply(self, a: Array, b: Array) -> Array:
        """The function."""
        return np.asarray(a / b)

    def slopes(self, a: Array, b: Array, error: Array) -> tuple[Array, Array]:
        """By both."""
        return error / b, -error * a / (b * b)

    def expand(self, block: Block, *inputs: Value) -> Value:
        """``a * (1 / b)``."""
        a, b = inputs
        return block(Multiply(), a, block(Reciprocal(), b))
