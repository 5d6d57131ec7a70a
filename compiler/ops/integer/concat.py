"""Maps of codes side by side, or in other rows and columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pulsarray.compiler.ir.formats import Format
from pulsarray.compiler.ir.operator import Operator
from pulsarray.compiler.ir.value import Array, Shape
from pulsarray.compiler.ops.concat import Concat as RealConcat
from pulsarray.errors import InputError

__all__ = ["Concat", "Reshape"]


@dataclass(frozen=True)
class Concat(Operator, title="int8_concat", summary="maps of codes side by side", reads=("x...",)):
    """Maps side by side along an axis, -1 for channels; each has the result's quantization."""

    axis: int = -1

    def shape(self, *shapes: Shape) -> Shape:
        """(H, W, C), one of which is the sum of the inputs'."""
        return RealConcat(self.axis).shape(*shapes)

    def integer(self, arrays: Sequence[Array], formats: Sequence[Format], result: Format) -> Array:
        """All of them in order."""
        return np.concatenate(arrays, axis=self.axis)


@dataclass(frozen=True)
class Reshape(
    Operator, title="int8_reshape", summary="the same pixels in other rows", reads=("x",)
):
    """The same pixels in order, in other rows and columns: nothing moves in memory."""

    sizes: tuple[int, int]

    def shape(self, *shapes: Shape) -> Shape:
        """(H', W', C).

        Raises
        ------
        InputError
            If there are not as many pixels.
        """
        height, width, channels = shapes[0]
        if self.sizes[0] * self.sizes[1] != height * width or min(self.sizes) < 1:
            raise InputError(f"{height} x {width} pixels cannot become {self.sizes}")
        return (*self.sizes, channels)

    def integer(self, arrays: Sequence[Array], formats: Sequence[Format], result: Format) -> Array:
        """The same codes."""
        return arrays[0].reshape(len(arrays[0]), *self.sizes, -1)
