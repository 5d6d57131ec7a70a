"""Codes one by one: another quantization, functions by table, products."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pulsarray.compiler.ir.formats import Format
from pulsarray.compiler.ir.needs import Needs
from pulsarray.compiler.ir.operator import Operator
from pulsarray.compiler.ir.value import Array, Shape
from pulsarray.compiler.numerics.rounding import requantize
from pulsarray.compiler.ops.integer.codes import HIGH, LOW, zero_of
from pulsarray.compiler.ops.integer.scale import Scale
from pulsarray.errors import InputError

__all__ = ["Alike", "Copy", "Elementwise", "Multiply"]


class Alike(Operator):
    """An operator on maps of one shape, which its result has."""

    def shape(self, *shapes: Shape) -> Shape:
        """The inputs'.

        Raises
        ------
        InputError
            If they differ.
        """
        if any(shape != shapes[0] for shape in shapes):
            raise InputError(f"inputs must have one shape, not {list(shapes)}")
        return shapes[0]


@dataclass(frozen=True, eq=False)
class Elementwise(
    Alike,
    title="int8_elementwise",
    summary="another quantization, or a function by table",
    reads=("x",),
):
    """``scale(code - zero)``: another quantization, or a function by table."""

    scale: Scale

    def integer(self, arrays: Sequence[Array], formats: Sequence[Format], result: Format) -> Array:
        """The scaled code."""
        return self.scale.codes(arrays[0] - zero_of(formats[0]))

    @property
    def needs(self) -> Needs:
        """Those of its scale."""
        return self.scale.needs


class Copy(Alike, title="int8_copy", summary="the same codes at another place", reads=("x",)):
    """The same codes at another place."""

    def integer(self, arrays: Sequence[Array], formats: Sequence[Format], result: Format) -> Array:
        """The input."""
        return arrays[0]


@dataclass(frozen=True)
class Multiply(
    Alike,
    title="int8_multiply",
    summary="codes times codes, element by element",
    reads=("a", "b"),
):
    """``clip(offset + rne((a - zero) * b * multiplier, shift))`` with the zero point of a.

    The codes of b are factors as they are, so its zero point must be 0 where they stand for real
    numbers: the machine multiplies by int8.
    """

    multiplier: int
    shift: int
    offset: int
    low: int = LOW
    high: int = HIGH

    def integer(self, arrays: Sequence[Array], formats: Sequence[Format], result: Format) -> Array:
        """The scaled product."""
        product = (arrays[0] - zero_of(formats[0])) * arrays[1]
        scaled = requantize(product, self.multiplier, self.shift)
        return np.clip(scaled + self.offset, self.low, self.high)

    @property
    def needs(self) -> Needs:
        """Its multiplier, and codes times codes."""
        return Needs(multiplier=self.multiplier, product=True)
