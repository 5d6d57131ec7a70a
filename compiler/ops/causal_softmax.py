"""Softmax of what is not in the future."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pulsarray.compiler.ir.operator import Block, Drawn, Kind
from pulsarray.compiler.ir.value import Array, Shape, Value
from pulsarray.compiler.ops.divide import Divide
from pulsarray.compiler.ops.exp import Exp
from pulsarray.compiler.ops.multiply import Multiply
from pulsarray.compiler.ops.reduction import ReduceMax, ReduceSum
from pulsarray.compiler.ops.softmax import Softmax
from pulsarray.compiler.ops.subtract import Subtract
from pulsarray.errors import InputError

__all__ = ["CausalSoftmax", "allowed"]


def allowed(rows: int, columns: int) -> Array:
    """1 where a row may see a column, else 0: the last row sees all, each before it one less."""
    return np.tri(rows, columns, columns - rows)


@dataclass(frozen=True)
class CausalSoftmax(
    Softmax,
    title="causal_softmax",
    summary="softmax of each row's elements up to its own, 0 behind it",
    kind=Kind.COMPOSITE,
    reads=("x",),
):
    """Softmax along the last axis of what a row of scores may see; the rest becomes 0.

    Rows are the second last axis; the last of them sees all, each before it one column less.
    """

    def shape(self, *shapes: Shape) -> Shape:
        """Shape of the result, the same.

        Raises
        ------
        InputError
            If there are no rows, or more than columns: the first would see nothing.
        """
        (shape,) = shapes
        if len(shape) < 2 or shape[-2] > shape[-1]:
            raise InputError(f"needs at most as many rows as columns, not {shape}")
        return shape

    def real(self, *arrays: Array) -> Array:
        """Of x where it may be seen."""
        (x,) = arrays
        seen = np.where(allowed(*x.shape[-2:]) > 0, x, x.dtype.type(-np.inf))
        return super().real(seen)

    def expand(self, block: Block, *inputs: Value) -> Value:
        """Powers that may be seen, divided by their sum."""
        (x,) = inputs
        powers = block(Exp(), block(Subtract(), x, block(ReduceMax(), x)))
        mask = block.constant("allowed", np.broadcast_to(allowed(*x.shape[-2:]), x.shape))
        seen = block(Multiply(), powers, mask)
        return block(Divide(), seen, block(ReduceSum(), seen))

    @classmethod
    def draw(cls, rng: np.random.Generator, shape: Shape) -> Drawn | None:
        """Any value with rows."""
        return (cls(), ()) if len(shape) > 1 and shape[-2] <= shape[-1] else None
