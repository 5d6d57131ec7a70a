"""Products of two matrices, neither of which needs to be constant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from pulsarray.compiler.ir.mantissas import Part, Rounding
from pulsarray.compiler.ir.operator import Drawn, Operator
from pulsarray.compiler.ir.value import Array, Shape
from pulsarray.compiler.ops.exact import product
from pulsarray.errors import InputError

__all__ = ["MatMul"]


@dataclass(frozen=True)
class MatMul(Operator, title="matmul", summary="products of matrices a @ b", reads=("a", "b")):
    """``a @ b``: a (..., M, K), b (..., K, N), the axes before these the same in both.

    Parameters
    ----------
    transpose_a, transpose_b
        Whether a is (..., K, M), and b (..., N, K).
    """

    keeps_others = True

    transpose_a: bool = False
    transpose_b: bool = False

    def shape(self, *shapes: Shape) -> Shape:
        """Shape of the result, (..., M, N).

        Raises
        ------
        InputError
            If a and b do not fit.
        """
        a, b = shapes
        if min(len(a), len(b)) < 2 or a[:-2] != b[:-2]:
            raise InputError(f"needs as many matrices of both inputs, not {a} and {b}")
        (rows, depth), (others, columns) = self._sizes(a, b)
        if depth != others:
            raise InputError(f"rows of {depth} and columns of {others} elements have no product")
        return (*a[:-2], rows, columns)

    def _sizes(self, a: Shape, b: Shape) -> tuple[Shape, Shape]:
        """Rows and columns of a and b, as they are multiplied."""
        return (
            a[-2:][::-1] if self.transpose_a else a[-2:],
            b[-2:][::-1] if self.transpose_b else b[-2:],
        )

    def real(self, *arrays: Array) -> Array:
        """All products."""
        a, b = self._turned(*arrays)
        return np.asarray(a @ b)

    def mantissas(self, parts: Sequence[Part], rounding: Rounding) -> Part:
        """Exact sums, rounded once."""
        return rounding.rounded(*product(self.real, parts))

    def _turned(self, a: Array, b: Array) -> tuple[Array, Array]:
        """Inputs, or gradients of these, with rows and columns as they are multiplied, or back."""
        return (
            a.swapaxes(-1, -2) if self.transpose_a else a,
            b.swapaxes(-1, -2) if self.transpose_b else b,
        )

    def gradient(self, arrays: Sequence[Array], result: Array, error: Array) -> list[Array | None]:
        """By both: each a product of the error with the other."""
        return [self.gradient_by(place, arrays, result, error) for place in range(2)]

    def gradient_by(
        self, place: int, arrays: Sequence[Array], result: Array, error: Array
    ) -> Array | None:
        """One of them, from the other input alone."""
        a, b = self._turned(*arrays)
        if place == 0:
            by_a = error @ b.swapaxes(-1, -2)
            return np.asarray(by_a.swapaxes(-1, -2) if self.transpose_a else by_a)
        by_b = a.swapaxes(-1, -2) @ error
        return np.asarray(by_b.swapaxes(-1, -2) if self.transpose_b else by_b)

    def gradient_reads(self, place: int) -> tuple[int, ...]:
        """The other."""
        return (1 - place,)

    def macs(self, *shapes: Shape) -> int:
        """One for each element of a and column of b."""
        return prod(shapes[0]) * self._sizes(*shapes)[1][1]

    @classmethod
    def draw(cls, rng: np.random.Generator, shape: Shape) -> Drawn | None:
        """Matrices with up to 5 columns, either side turned or not."""
        if len(shape) < 2:
            return None
        turned = [bool(rng.integers(2)) for _ in range(2)]
        sizes = (shape[-2] if turned[0] else shape[-1], int(rng.integers(1, 6)))
        return cls(*turned), ((*shape[:-2], *(sizes[::-1] if turned[1] else sizes)),)
