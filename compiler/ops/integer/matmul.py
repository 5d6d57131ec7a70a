"""Products of matrices of codes, neither of which is constant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from pulsarray.compiler.ir.formats import Format
from pulsarray.compiler.ir.value import Array, Shape
from pulsarray.compiler.ops.integer.kernel import Kernel, Needs, zero_of
from pulsarray.compiler.ops.integer.scale import Scale
from pulsarray.errors import InputError

__all__ = ["MatMul"]


@dataclass(frozen=True, eq=False)
class MatMul(
    Kernel, title="int8_matmul", summary="products of matrices of codes", reads=("a", "b")
):
    """``scale(a @ b)`` of the matrices in each row of two maps: a (H, M, K), b (H, K, N).

    The array multiplies codes as they are, so both must have zero point 0.

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
        if any(zero_of(form) for form in formats):
            zeros = " and ".join(str(zero_of(form)) for form in formats)
            raise InputError(f"inputs must have zero point 0, not {zeros}")
        first, second = (array.astype(np.float64) for array in arrays)
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
