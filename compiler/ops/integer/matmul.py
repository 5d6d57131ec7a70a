"""Products of matrices of codes, neither of which is constant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from pulsarray.compiler.ir.formats import Format
from pulsarray.compiler.ir.needs import Needs
from pulsarray.compiler.ir.operator import Operator
from pulsarray.compiler.ir.value import Array, Shape
from pulsarray.compiler.ops.integer.codes import zero_of
from pulsarray.compiler.ops.integer.scale import Scale
from pulsarray.errors import InputError

__all__ = ["MatMul"]


@dataclass(frozen=True, eq=False)
class MatMul(
    Operator, title="int8_matmul", summary="products of matrices of codes", reads=("a", "b")
):
    """``scale((a - zero_a) @ (b - zero_b))`` of the matrices in each row of two maps.

    These are a (H, M, K) and b (H, K, N). The codes of b are the array's weights; a zero point
    other than 0 costs a second pass.

    Parameters
    ----------
    scale
        How sums become codes.
    transposed
        Whether b is (H, N, K).
    """

    scale: Scale
    transposed: bool = False

    def shape(self, *shapes: Shape) -> Shape:
        """(H, M, N)."""
        (height, rows, depth), (matrices, *sizes) = shapes
        columns, inputs = sizes if self.transposed else sizes[::-1]
        if matrices != height or inputs != depth:
            raise InputError(f"matrices of {shapes[0]} and {shapes[1]} have no product")
        return height, rows, columns

    def integer(self, arrays: Sequence[Array], formats: Sequence[Format], result: Format) -> Array:
        """Codes of the sums, which float64 holds exactly."""
        pairs = zip(arrays, formats, strict=True)
        first, second = (array.astype(np.float64) - zero_of(form) for array, form in pairs)
        sums = first @ (second.swapaxes(2, 3) if self.transposed else second)
        return self.scale.codes(sums.astype(np.int64))

    def macs(self, *shapes: Shape) -> int:
        """Every row with every column."""
        height, rows, columns = self.shape(*shapes)
        return height * rows * columns * shapes[0][2]

    @property
    def needs(self) -> Needs:
        """Those of its scale, and a transposer."""
        return replace(self.scale.needs, transposer=self.transposed)
