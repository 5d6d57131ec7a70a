"""TensorFlow Lite's int8 LOG_SOFTMAX, to the bit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pulsarray.compiler.ir.formats import Format
from pulsarray.compiler.ir.needs import Needs, Pair
from pulsarray.compiler.ir.operator import Operator
from pulsarray.compiler.ir.value import Array, Shape
from pulsarray.compiler.numerics.gemmlowp import ONE_LESS, logarithm
from pulsarray.compiler.numerics.rounding import rounding_shift, scale_sums
from pulsarray.compiler.ops.integer.codes import HIGH, LOW
from pulsarray.compiler.ops.integer.softmax import FRACTION
from pulsarray.errors import InputError

__all__ = ["CODE_SHIFT", "LogSoftmax"]

CODE_SHIFT = 22
"""Bits of a logarithm below those of a code."""
_MOST = (1 << FRACTION) - 1


@dataclass(frozen=True, eq=False)
class LogSoftmax(
    Operator,
    title="int8_log_softmax",
    summary="TensorFlow Lite's int8 LOG_SOFTMAX of each pixel's channels",
    reads=("x",),
):
    """Each channel less the largest, less the logarithm of the sum of these' exponentials.

    Codes of the result count steps of 1 / 16 up to 127.

    Parameters
    ----------
    exponentials
        (256,): that of each difference from the largest code, with no integer bits.
    pair
        What scales a difference of codes to 5 integer bits.
    most
        The largest difference that does not have the least code in any case.
    """

    exponentials: Array
    pair: Pair
    most: int

    def __str__(self) -> str:
        return "int8_log_softmax"

    def shape(self, *shapes: Shape) -> Shape:
        """The input's."""
        if not 1 <= (channels := shapes[0][2]) <= _MOST:
            raise InputError(f"a log-softmax of {channels} channels is not possible, only {_MOST}")
        return shapes[0]

    def integer(self, arrays: Sequence[Array], formats: Sequence[Format], result: Format) -> Array:
        """All roundings as gemmlowp has them."""
        less = arrays[0].max(axis=-1, keepdims=True) - arrays[0]
        powers = rounding_shift(self.exponentials[less], FRACTION)
        scaled = scale_sums(-np.minimum(less, self.most), *self.pair) - logarithm(
            powers.sum(axis=-1, keepdims=True)
        )
        codes = np.clip(rounding_shift(scaled, CODE_SHIFT) + HIGH, LOW, HIGH)
        return np.where(less > self.most, LOW, codes)

    @property
    def needs(self) -> Needs:
        """All that it is made of."""
        return Needs(multiplier=ONE_LESS, tflite=True, table=True, residual=True, wide=True)
