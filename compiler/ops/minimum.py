"""The smaller of two values."""

from __future__ import annotations

import numpy as np

from pulsarray.compiler.ir.operator import Block, Kind
from pulsarray.compiler.ir.value import Array, Value
from pulsarray.compiler.ops.binary import Binary
from pulsarray.compiler.ops.relu import Relu
from pulsarray.compiler.ops.subtract import Subtract

__all__ = ["Minimum"]


class Minimum(
    Binary,
    title="minimum",
    summary="the smaller of a and b, element by element",
    kind=Kind.COMPOSITE,
    reads=("a", "b"),
):
    """The smaller of two values; the gradient of equal ones goes to the first."""

    def apply(self, a: Array, b: Array) -> Array:
        """The function."""
        return np.asarray(np.minimum(a, b))

    def slopes(self, a: Array, b: Array, error: Array) -> tuple[Array, Array]:
        """By both."""
        first = a <= b
        return error * first, error * ~first

    def expand(self, block: Block, *inputs: Value) -> Value:
        """``a - max(a - b, 0)``."""
        a, b = inputs
        return block(Subtract(), a, block(Relu(), block(Subtract(), a, b)))
