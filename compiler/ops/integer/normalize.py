"""TensorFlow Lite's int8 L2_NORMALIZATION, to the bit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pulsarray.compiler.ir.formats import Format
from pulsarray.compiler.ir.needs import Needs
from pulsarray.compiler.ir.operator import Operator
from pulsarray.compiler.ir.value import Array, Shape
from pulsarray.compiler.numerics.gemmlowp import ONE_LESS, inverse_root
from pulsarray.compiler.numerics.rounding import scale_sums
from pulsarray.compiler.ops.integer.codes import HIGH, LOW, zero_of
from pulsarray.errors import InputError

__all__ = ["SUM_BITS", "Normalize"]

SUM_BITS = 27
"""Bits of the largest sum of squares."""
_MOST = ((1 << SUM_BITS) - 1) // (HIGH - LOW) ** 2
_CODE_BITS = 7


class Normalize(
    Operator,
    title="int8_l2_normalization",
    summary="TensorFlow Lite's int8 L2_NORMALIZATION of each pixel's channels",
    reads=("x",),
):
    """Channels divided by the root of the sum of their squares: codes count steps of 1 / 128."""

    def __str__(self) -> str:
        return "int8_l2_normalization"

    def shape(self, *shapes: Shape) -> Shape:
        """The input's."""
        if not 1 <= (channels := shapes[0][2]) <= _MOST:
            raise InputError(f"a norm of {channels} channels is not possible, only {_MOST}")
        return shapes[0]

    def integer(self, arrays: Sequence[Array], formats: Sequence[Format], result: Format) -> Array:
        """All roundings as gemmlowp has them."""
        values = arrays[0] - zero_of(formats[0])
        multiplier, shift = inverse_root((values * values).sum(axis=-1, keepdims=True))
        return np.clip(scale_sums(values, multiplier, 31 + shift - _CODE_BITS), LOW, HIGH)

    @property
    def needs(self) -> Needs:
        """All that it is made of."""
        return Needs(multiplier=ONE_LESS, tflite=True, product=True, residual=True, wide=True)
