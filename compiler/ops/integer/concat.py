"""Maps of codes side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pulsarray.compiler.ir.formats import Format
from pulsarray.compiler.ir.operator import Operator
from pulsarray.compiler.ir.value import Array, Shape
from pulsarray.errors import InputError

__all__ = ["Concat"]


@dataclass(frozen=True)
class Concat(Operator, title="int8_concat", summary="maps of codes side by side", reads=("x...",)):
    """Maps side by side along the channels; each has the result's quantization already."""

    def shape(self, *shapes: Shape) -> Shape:
        """(H, W, sum of C)."""
        height, width, _ = shapes[0]
        if any(shape[:2] != (height, width) for shape in shapes):
            raise InputError(f"inputs must differ in channels only, not {list(shapes)}")
        return height, width, sum(shape[2] for shape in shapes)

    def integer(self, arrays: Sequence[Array], formats: Sequence[Format], result: Format) -> Array:
        """All channels in order."""
        return np.concatenate(arrays, axis=3)
