"""Softmax of what is not in the future."""

from __future__ import annotations

import numpy as np

from pulsarray.compiler.ir.operator import Block, Kind
from pulsarray.compiler.ir.value import Array, Shape, Value
from pulsarray.compiler.ops.divide import Divide
from pulsarray.compiler.ops.exp import Exp
from pulsarray.compiler.ops.multiply import Multiply
from pulsarray.compiler.ops.reduction import ReduceMax, ReduceSum
from pulsarray.compiler.ops.softmax import Softmax
from pulsarray.compiler.ops.subtract import Subtract

__all__ = ["CausalSoftmax", "allowed"]


def allowed(shape: Shape) -> Array:
    """1 where a row may see a column, else 0, for rows and columns in the last two axes.

    The last row sees all, each before it one column less; of more rows than columns the first sees
    one, and each behind it one more. A single axis is one row.
    """
    rows, columns = (1, *shape)[-2:]
    return np.tri(rows, columns, max(columns - rows, 0))


class CausalSoftmax(
    Softmax,
    title="causal_softmax",
    summary="softmax of each row's elements up to its own, 0 behind it",
    kind=Kind.COMPOSITE,
    reads=("x",),
):
    """Softmax along the last axis of what a row of scores may see; the rest becomes 0.

    Rows are the second last axis; :func:`allowed` says what they see.
    """

    def real(self, *arrays: Array) -> Array:
        """Of x where it may be seen."""
        (x,) = arrays
        seen = np.where(allowed(x.shape[1:]) > 0, x, x.dtype.type(-np.inf))
        return super().real(seen)

    def seen(self, shape: Shape) -> Array | None:
        """What each row may see."""
        return allowed(shape)

    def expand(self, block: Block, *inputs: Value) -> Value:
        """Powers that may be seen, divided by their sum."""
        (x,) = inputs
        powers = block(Exp(), block(Subtract(), x, block(ReduceMax(), x)))
        mask = np.broadcast_to(allowed(x.shape), (1, *x.shape)).reshape(x.shape)
        seen = block(Multiply(), powers, block.constant("allowed", mask))
        return block(Divide(), seen, block(ReduceSum(), seen))
