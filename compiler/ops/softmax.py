"""Softmax."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pulsarray.compiler.ir.mantissas import Exact, Part, Rounding
from pulsarray.compiler.ir.operator import RESULT, Block, Drawn, Kind, Operator
from pulsarray.compiler.ir.value import Array, Shape, Value
from pulsarray.compiler.numerics.exponents import GUARD, PROBABILITY
from pulsarray.compiler.numerics.mantissas import rne, sym
from pulsarray.compiler.numerics.quotients import softmax as probabilities
from pulsarray.compiler.ops.divide import Divide
from pulsarray.compiler.ops.exp import Exp
from pulsarray.compiler.ops.images import channels
from pulsarray.compiler.ops.reduction import ReduceMax, ReduceSum
from pulsarray.compiler.ops.subtract import Subtract

__all__ = ["Softmax"]

_WIDE = 32


class Softmax(
    Operator,
    title="softmax",
    summary="exp(x) divided by the sum of these along the last axis",
    kind=Kind.HOST,
    reads=("x",),
):
    """``exp(x) / (sum of exp(x) along the last axis)``."""

    keeps_result = True

    def shape(self, *shapes: Shape) -> Shape:
        """Shape of the result, the same.

        Raises
        ------
        InputError
            If there is no axis.
        """
        channels(shapes[0])
        return shapes[0]

    def real(self, *arrays: Array) -> Array:
        """Of x less its largest, which changes nothing and cannot overflow."""
        (x,) = arrays
        powers = np.exp(x - x.max(axis=-1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=-1, keepdims=True))

    def mantissas(self, parts: Sequence[Part], rounding: Rounding) -> Part:
        """By function tables."""
        ((x, exponent),) = parts
        powers = probabilities(x, exponent, rounding.segments, self.seen(x.shape[1:]))
        return rounding.rounded(powers, PROBABILITY)

    def seen(self, shape: Shape) -> Array | None:
        """1 where elements of values of a shape count, else 0; None if all do."""
        return None

    def gradient_mantissas(
        self, gradient: Exact, parts: Sequence[Part], rounding: Rounding
    ) -> Part:
        """The error less its mean with guard bits, times the result."""
        (y, e_y), (error, e_error) = parts
        along = rne(-(error * y).sum(axis=-1, keepdims=True), -GUARD - e_y)
        return sym(rne(error, -GUARD) + along, _WIDE) * y, e_error + e_y - GUARD

    def gradient(self, arrays: Sequence[Array], result: Array, error: Array) -> list[Array | None]:
        """By x."""
        mean = (error * result).sum(axis=-1, keepdims=True)
        return [result * (error - mean)]

    def gradient_reads(self, place: int) -> tuple[int, ...]:
        """The result alone."""
        return (RESULT,)

    def expand(self, block: Block, *inputs: Value) -> Value:
        """Powers of x less its largest, divided by their sum."""
        (x,) = inputs
        powers = block(Exp(), block(Subtract(), x, block(ReduceMax(), x)))
        return block(Divide(), powers, block(ReduceSum(), powers))

    @classmethod
    def draw(cls, rng: np.random.Generator, shape: Shape) -> Drawn | None:
        """Any value with an axis."""
        return (cls(), ()) if shape else None
