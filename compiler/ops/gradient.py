"""Gradients as operators of their own, each by one input of another operator; and their sums."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from pulsarray.compiler.ir.mantissas import Part, Rounding
from pulsarray.compiler.ir.operator import RESULT, Kind, Operator
from pulsarray.compiler.ir.value import Array, Shape
from pulsarray.compiler.numerics.mantissas import rne
from pulsarray.compiler.ops.exact import product, total
from pulsarray.errors import InputError

__all__ = ["ExactTotal", "Gradient", "Same", "Total"]


@dataclass(frozen=True)
class Gradient(
    Operator,
    title="gradient",
    summary="the gradient by an input of an operator, from that by its result",
    kind=Kind.TRAINING,
    reads=("values...",),
):
    """The gradient by an input of an operator, as the operator itself defines it.

    It reads what :meth:`Operator.gradient_reads` names, then the gradient by the result.

    Parameters
    ----------
    of, by
        The operator, and the place of its input.
    shapes
        Shapes of all its inputs, then of its result.
    """

    of: Operator
    by: int
    shapes: tuple[Shape, ...] = field(repr=False)

    mixes_samples = True

    @property
    def jumps(self) -> bool:
        """Where the operator has kinks."""
        return self.of.has_kinks

    def shape(self, *shapes: Shape) -> Shape:
        """Shape of the input.

        Raises
        ------
        InputError
            If what is read has other shapes than it has for the operator.
        """
        reads = self.of.gradient_reads(self.by)
        known = tuple(self.shapes[place] for place in (*reads, RESULT))
        if shapes != known:
            raise InputError(f"must read values of shapes {known}, not {shapes}")
        return self.shapes[self.by]

    def real(self, *arrays: Array) -> Array:
        """The operator's own; of what it does not read it knows shapes alone."""
        *values, error = arrays
        known = dict(zip(self.of.gradient_reads(self.by), values, strict=True))
        count = len(self.shapes) - 1
        inputs = [known.get(k, self._unread(k, error)) for k in range(count)]
        result = known.get(RESULT, self._unread(RESULT, error))
        return np.asarray(self.of.gradient_by(self.by, inputs, result, error))

    def mantissas(self, parts: Sequence[Part], rounding: Rounding) -> Part:
        """As the operator says."""
        return self.of.gradient_mantissas(self, parts, rounding)

    def exactly(self, parts: Sequence[Part]) -> Part:
        """Products of all that is read."""
        return product(self.real, parts)

    def _unread(self, place: int, error: Array) -> Array:
        """Zeros, which take no memory."""
        shape = self.shapes[place]
        whole = shape if place in self.of.constants else (len(error), *shape)
        return np.broadcast_to(error.dtype.type(0), whole)


class Total(
    Operator,
    title="total",
    summary="the sum of all values, of one that value itself",
    kind=Kind.TRAINING,
    reads=("values...",),
):
    """Several gradients of one value together."""

    def shape(self, *shapes: Shape) -> Shape:
        """Shape of the result, the same.

        Raises
        ------
        InputError
            If they differ.
        """
        if len(set(shapes)) != 1:
            raise InputError(f"needs values of one shape, not {shapes}")
        return shapes[0]

    def real(self, *arrays: Array) -> Array:
        """One after the other."""
        total, *others = arrays
        for array in others:
            total = total + array
        return total

    def mantissas(self, parts: Sequence[Part], rounding: Rounding) -> Part:
        """With guard bits, then rounded."""
        return rounding.rounded(*(total(parts, rounding) if len(parts) > 1 else parts[0]))

    def gradient(self, arrays: Sequence[Array], result: Array, error: Array) -> list[Array | None]:
        """The same for each."""
        return [error] * len(arrays)


class ExactTotal(
    Total,
    title="exact_total",
    summary="the sum of what layers that share a parameter give to its gradient",
    kind=Kind.TRAINING,
    reads=("values...",),
):
    """Gradients of one parameter together, before they are rounded."""

    def mantissas(self, parts: Sequence[Part], rounding: Rounding) -> Part:
        """At the largest of their exponents, once those are found."""
        exponent = max(e_values for _, e_values in parts)
        (first, e_first), *others = parts
        total = rne(first, exponent - e_first)
        for values, e_values in others:
            total = total + rne(values, exponent - e_values)
        return total, exponent


class Same(
    Operator,
    title="same",
    summary="the value itself under another name",
    kind=Kind.TRAINING,
    reads=("x",),
):
    """An error that is that of what reads the value."""

    def mantissas(self, parts: Sequence[Part], rounding: Rounding) -> Part:
        """The value."""
        return parts[0]

    def shape(self, *shapes: Shape) -> Shape:
        """Shape of the result, the same."""
        return shapes[0]

    def real(self, *arrays: Array) -> Array:
        """The value."""
        return arrays[0]
