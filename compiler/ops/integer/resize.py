"""Maps of codes of other sizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from pulsarray.compiler.ir.formats import Format
from pulsarray.compiler.ir.needs import Needs, Pair
from pulsarray.compiler.ir.operator import Operator
from pulsarray.compiler.ir.value import Array, Shape
from pulsarray.compiler.numerics.fixed_point import fixed_point
from pulsarray.compiler.numerics.rounding import requantize
from pulsarray.compiler.ops.integer.codes import HIGH, zero_of
from pulsarray.compiler.ops.integer.pool import count_scale
from pulsarray.compiler.ops.resize import Lines
from pulsarray.compiler.ops.resize import Resize as RealResize
from pulsarray.errors import InputError

__all__ = ["Resize", "whole_lines"]


@dataclass(frozen=True)
class Resize(
    Operator,
    title="int8_resize",
    summary="weighted means of rows and of columns of codes",
    reads=("x",),
):
    """``clip(zero + rne(sum of rows * columns * (code - zero) * multiplier, shift))``.

    Input and result have one quantization. Weights are integers from 0 on; all sums of them along
    rows are equal, so are those along columns: the scale is one by their product.

    Parameters
    ----------
    rows, columns
        What each is a sum of.
    scale
        Multiplier and shift.
    raw
        Whether the codes themselves are averaged: ``zero`` is then 0, else the input's.
    """

    rows: Lines
    columns: Lines
    scale: Pair
    raw: bool = False

    @classmethod
    def rounded(cls, rows: Lines, columns: Lines, bits: int) -> Resize:
        """Means rounded half to even, with a multiplier of so many bits."""
        return cls(rows, columns, fixed_point(1.0 / _total(rows, columns), bits))

    @classmethod
    def away(cls, rows: Lines, columns: Lines) -> Resize:
        """Means of codes, halves rounded away from 0: TensorFlow Lite's."""
        return cls(rows, columns, count_scale(_total(rows, columns), away=True), raw=True)

    def shape(self, *shapes: Shape) -> Shape:
        """(H', W', C).

        Raises
        ------
        InputError
            If the lines do not fit, or the weights are none.
        """
        shape = RealResize(self.rows, self.columns).shape(*shapes)
        for lines in (self.rows, self.columns):
            weights = [[weight for _, weight in terms] for terms in lines.terms]
            whole = all(isinstance(w, int) and w >= 0 for terms in weights for w in terms)
            if not whole or len({sum(terms) for terms in weights}) != 1:
                raise InputError(f"weights of {lines} must be whole numbers with one sum")
        if self.largest > HIGH:
            raise InputError(f"products of weights must be up to {HIGH}, not {self.largest}")
        return shape

    @property
    def largest(self) -> int:
        """The largest product of a row's and a column's weight."""
        largest = (
            max(weight for terms in lines.terms for _, weight in terms)
            for lines in (self.rows, self.columns)
        )
        return int(prod(largest))

    @property
    def parts(self) -> int:
        """Convolutions that it is on the machine."""
        return len(self.rows.runs) * len(self.columns.runs)

    def zero(self, form: Format) -> int:
        """What is taken from each code."""
        return 0 if self.raw else zero_of(form)

    def integer(self, arrays: Sequence[Array], formats: Sequence[Format], result: Format) -> Array:
        """Means of codes."""
        zero = self.zero(formats[0])
        sums = RealResize(self.rows, self.columns).real((arrays[0] - zero).astype(np.float64))
        multiplier, shift = (np.asarray(n, np.int64) for n in self.scale)
        return requantize(sums.astype(np.int64), multiplier, shift) + zero

    def macs(self, *shapes: Shape) -> int:
        """One for each term of each result."""
        return RealResize(self.rows, self.columns).macs(*shapes)

    @property
    def needs(self) -> Needs:
        """Its multiplier."""
        return Needs(multiplier=self.scale[0])


def _total(rows: Lines, columns: Lines) -> int:
    """Sum of all products of weights of one result."""
    return int(prod(sum(weight for _, weight in lines.terms[0]) for lines in (rows, columns)))


def whole_lines(lines: Lines, most: int = HIGH) -> Lines:
    """Lines with whole numbers for weights, whose sum is the least up to ``most`` that is exact.

    Where none is, weights are the nearest of that sum, so that what is equal stays equal.
    """
    weights = np.array([weight for terms in lines.terms for _, weight in terms])
    sums = np.arange(1, most + 1)
    exact = np.abs(np.outer(sums, weights) - np.round(np.outer(sums, weights))).max(axis=1) < _NEAR
    total = int(sums[exact][0]) if exact.any() else most
    return Lines(lines.size, tuple(_whole(terms, total) for terms in lines.terms))


_NEAR = 1e-3
"""Nearer than this to a whole number a weight is one."""


def _whole(terms: Sequence[tuple[int, float]], total: int) -> tuple[tuple[int, int], ...]:
    """Weights of this sum: what rounding down leaves goes to the largest remainders."""
    exact = np.array([weight for _, weight in terms]) * total
    whole = np.floor(exact + _NEAR)
    order = np.argsort(whole - exact, kind="stable")
    whole[order[: total - int(whole.sum())]] += 1
    pairs = zip((place for place, _ in terms), whole.astype(int).tolist(), strict=True)
    return tuple((place, weight) for place, weight in pairs if weight)
