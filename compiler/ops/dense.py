"""Dense layers: products of vectors with a matrix of constants."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from pulsarray.compiler.ir.operator import Drawn, Operator
from pulsarray.compiler.ir.value import Array, Shape
from pulsarray.errors import InputError

__all__ = ["Dense"]


class Dense(
    Operator,
    title="dense",
    summary="x @ weight + bias",
    reads=("x", "weight", "bias"),
    constants=(1, 2),
):
    """``x @ weight + bias``: x (K,), weight (K, N), bias (N,)."""

    def shape(self, *shapes: Shape) -> Shape:
        """Shape of the result, (N,).

        Raises
        ------
        InputError
            If weight, bias and input do not fit.
        """
        x, weight, bias = shapes
        if len(weight) != 2:
            raise InputError(f"weight must have shape (K, N), not {weight}")
        inputs, outputs = weight
        if bias != (outputs,):
            raise InputError(f"bias must have shape ({outputs},), not {bias}")
        if x != (inputs,):
            raise InputError(f"input must have shape ({inputs},), not {x}")
        return (outputs,)

    def real(self, *arrays: Array) -> Array:
        """``x @ weight + bias``."""
        x, weight, bias = (array.astype(arrays[0].dtype, copy=False) for array in arrays)
        return np.asarray(x @ weight + bias)

    def gradient(self, arrays: Sequence[Array], result: Array, error: Array) -> list[Array | None]:
        """By x, weight and bias."""
        x, weight, _ = (array.astype(error.dtype, copy=False) for array in arrays)
        return [error @ weight.T, x.T @ error, error.sum(axis=0)]

    def macs(self, *shapes: Shape) -> int:
        """K * N."""
        return prod(shapes[1])

    @classmethod
    def draw(cls, rng: np.random.Generator, shape: Shape) -> Drawn | None:
        """Up to 8 results from vectors."""
        if len(shape) != 1:
            return None
        outputs = int(rng.integers(1, 9))
        return cls(), ((shape[0], outputs), (outputs,))
