"""TensorFlow Lite's int8 SOFTMAX, to the bit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pulsarray.compiler.ir.formats import Format
from pulsarray.compiler.ir.needs import Needs
from pulsarray.compiler.ir.operator import Operator
from pulsarray.compiler.ir.value import Array, Shape
from pulsarray.compiler.numerics.gemmlowp import ONE_LESS, reciprocal
from pulsarray.compiler.numerics.rounding import high_multiply, rounding_shift
from pulsarray.compiler.ops.integer.codes import HIGH, LOW
from pulsarray.errors import InputError

__all__ = ["FRACTION", "MOST", "Softmax"]

FRACTION = 12
"""Integer bits of the sum of exponentials."""
MOST = (1 << 10) - 1
"""Channels of which the machine knows the sum's shift."""
_CODE_BITS = 8


@dataclass(frozen=True, eq=False)
class Softmax(
    Operator,
    title="int8_softmax",
    summary="TensorFlow Lite's int8 SOFTMAX of each pixel's channels",
    reads=("x",),
):
    """Exponentials of each channel less the largest, times the reciprocal of their sum.

    Codes of the result count steps of 1 / 256 from -128 on.

    Parameters
    ----------
    exponentials
        (256,): that of each difference from the largest code, with no integer bits.
    """

    exponentials: Array

    def __str__(self) -> str:
        return "int8_softmax"

    def shape(self, *shapes: Shape) -> Shape:
        """The input's."""
        if not 1 <= shapes[0][2] <= MOST:
            raise InputError(f"a softmax of {shapes[0][2]} channels is not possible, only {MOST}")
        return shapes[0]

    def integer(self, arrays: Sequence[Array], formats: Sequence[Format], result: Format) -> Array:
        """All roundings as gemmlowp has them."""
        (codes,) = arrays
        powers = self.exponentials[codes.max(axis=-1, keepdims=True) - codes]
        sums = rounding_shift(powers, FRACTION).sum(axis=-1, keepdims=True)
        headroom = 31 - np.frexp(sums.astype(np.float64))[1]
        scaled = high_multiply(powers, reciprocal(sums << headroom))
        exponent = FRACTION - headroom - 1 + 31 - _CODE_BITS
        return np.clip(rounding_shift(scaled, exponent) + LOW, LOW, HIGH)

    @property
    def needs(self) -> Needs:
        """All that it is made of."""
        return Needs(multiplier=ONE_LESS, tflite=True, table=True, residual=True, wide=True)
