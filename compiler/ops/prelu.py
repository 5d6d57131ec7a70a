"""Rectifiers with a slope for each channel."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

import numpy as np

from pulsarray.compiler.ir.operator import Block, Drawn, Kind, Operator
from pulsarray.compiler.ir.value import Array, Shape, Value
from pulsarray.compiler.ops.add import Add
from pulsarray.compiler.ops.clip import Clip
from pulsarray.compiler.ops.images import channels
from pulsarray.compiler.ops.multiply import Multiply
from pulsarray.compiler.ops.relu import Relu
from pulsarray.errors import InputError

__all__ = ["PRelu"]


class PRelu(
    Operator,
    title="prelu",
    summary="x where x is above 0, else x times the slope of its channel",
    kind=Kind.COMPOSITE,
    reads=("x", "slope"),
    constants=(1,),
):
    """x where x is above 0, else x times slope (C,), one a channel (He et al. 2015)."""

    def shape(self, *shapes: Shape) -> Shape:
        """Shape of the result, that of x.

        Raises
        ------
        InputError
            If x has no channels, or the slope another number of them.
        """
        x, slope = shapes
        if slope != (channels(x),):
            raise InputError(f"slope must have shape ({x[-1]},), not {slope}")
        return x

    def real(self, *arrays: Array) -> Array:
        """At x."""
        x, slope = arrays
        return np.asarray(np.where(x > 0.0, x, x * slope.astype(x.dtype)))

    def gradient(self, arrays: Sequence[Array], result: Array, error: Array) -> list[Array | None]:
        """By x, and by the slopes where x is not above 0."""
        x, slope = arrays
        below = np.where(x > 0.0, 0.0, x) * error
        return [np.where(x > 0.0, error, error * slope), below.reshape(-1, len(slope)).sum(axis=0)]

    def expand(self, block: Block, *inputs: Value) -> Value:
        """What is above 0, and the rest times the slope."""
        x, slope = inputs
        below = block(Multiply(), block(Clip(-inf, 0.0), x), slope)
        return block(Add(), block(Relu(), x), below)

    @classmethod
    def draw(cls, rng: np.random.Generator, shape: Shape) -> Drawn | None:
        """Slopes of all channels."""
        return (cls(), (shape[-1:],)) if shape else None
