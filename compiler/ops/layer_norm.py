"""Layer normalization."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pulsarray.compiler.ir.operator import Block, Drawn, Kind, Operator
from pulsarray.compiler.ir.value import Array, Shape, Value
from pulsarray.compiler.ops.add import Add
from pulsarray.compiler.ops.images import channels
from pulsarray.compiler.ops.multiply import Multiply
from pulsarray.compiler.ops.reciprocal_root import ReciprocalRoot
from pulsarray.compiler.ops.reduction import ReduceMean
from pulsarray.compiler.ops.square import Square
from pulsarray.compiler.ops.subtract import Subtract
from pulsarray.errors import InputError

__all__ = ["LayerNorm"]


@dataclass(frozen=True)
class LayerNorm(
    Operator,
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

    epsilon: float = 1e-5
    centres: bool = True

    def shape(self, *shapes: Shape) -> Shape:
        """Shape of the result, that of x.

        Raises
        ------
        InputError
            If there is no axis, or scale or shift have another size, or epsilon is not positive.
        """
        x, *arrays = shapes
        count = channels(x)
        for name, shape in zip(("scale", "shift"), arrays, strict=True):
            if shape != (count,):
                raise InputError(f"{name} must have shape ({count},), not {shape}")
        if not self.epsilon > 0.0:
            raise InputError(f"epsilon must be positive, not {self.epsilon}")
        return x

    def real(self, *arrays: Array) -> Array:
        """The definition."""
        x, scale, shift = (array.astype(arrays[0].dtype, copy=False) for array in arrays)
        return np.asarray(self._normal(x)[0] * scale + shift)

    def _normal(self, x: Array) -> tuple[Array, Array]:
        """Normalized values, and the factors that made them."""
        centred = x - x.mean(axis=-1, keepdims=True) if self.centres else x
        variance = (centred**2).mean(axis=-1, keepdims=True)
        factor = 1.0 / np.sqrt(variance + x.dtype.type(self.epsilon))
        return centred * factor, factor

    def gradient(self, arrays: Sequence[Array], result: Array, error: Array) -> list[Array | None]:
        """By x, scale and shift."""
        x, scale, _ = arrays
        normal, factor = self._normal(x)
        scaled, over = error * scale, tuple(range(x.ndim - 1))
        along = (scaled * normal).mean(axis=-1, keepdims=True)
        mean = scaled.mean(axis=-1, keepdims=True) if self.centres else 0.0
        by_x = factor * (scaled - mean - normal * along)
        return [by_x, (error * normal).sum(axis=over), error.sum(axis=over)]

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
