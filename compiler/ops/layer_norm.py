"""Layer normalization."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pulsarray.compiler.ir.operator import Block, Drawn, Kind
from pulsarray.compiler.ir.value import Array, Shape, Value
from pulsarray.compiler.ops.add import Add
from pulsarray.compiler.ops.batch_norm import Standardized
from pulsarray.compiler.ops.multiply import Multiply
from pulsarray.compiler.ops.reciprocal_root import ReciprocalRoot
from pulsarray.compiler.ops.reduction import ReduceMean
from pulsarray.compiler.ops.square import Square
from pulsarray.compiler.ops.subtract import Subtract
from pulsarray.errors import InputError

__all__ = ["LayerNorm"]


@dataclass(frozen=True)
class LayerNorm(
    Standardized,
    title="layer_norm",
    summary="mean 0 and variance 1 along the last axis, then * scale + shift",
    kind=Kind.COMPOSITE,
    reads=("x", "scale", "shift"),
    constants=(1, 2),
):
    """``(x - mean) / sqrt(variance + epsilon) * scale + shift`` (Ba et al. 2016).

    Mean and variance are those of the last axis, of size C; scale and shift have shape (C,).
    Where it does not centre, the mean counts as 0 (Zhang and Sennrich 2019, RMSNorm).
    """

    centres: bool = True

    def shape(self, *shapes: Shape) -> Shape:
        """Shape of the result, that of x.

        Raises
        ------
        InputError
            If there is no axis, or scale or shift have another size, or epsilon is not positive.
        """
        shape = super().shape(*shapes)
        if not self.epsilon > 0.0:
            raise InputError(f"epsilon must be positive, not {self.epsilon}")
        return shape

    def _middle(self, values: Array) -> Array:
        return super()._middle(values) if self.centres else np.zeros((), values.dtype)

    def expand(self, block: Block, *inputs: Value) -> Value:
        """Two means, a root, and element-wise functions."""
        x, scale, shift = inputs
        centred = block(Subtract(), x, block(ReduceMean(), x)) if self.centres else x
        variance = block(ReduceMean(), block(Square(), centred))
        factor = block(ReciprocalRoot(self.epsilon), variance)
        normal = block(Multiply(), centred, factor)
        return block(Add(), block(Multiply(), normal, scale), shift)

    @classmethod
    def draw(cls, rng: np.random.Generator, shape: Shape) -> Drawn | None:
        """With an epsilon that makes a difference."""
        made = cls(float(rng.uniform(0.01, 0.1)), bool(rng.integers(2)))
        return (made, (shape[-1:], shape[-1:])) if shape else None
