"""What functions of single elements have in common; each is a file of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from pulsarray.compiler.ir.operator import RESULT, Operator
from pulsarray.compiler.ir.value import Array, Shape

__all__ = ["Function"]


@dataclass(frozen=True)
class Function(Operator):
    """A function of single elements: a subclass gives ``real`` and ``derivative``.

    It is a table of 256 codes in int8, but where ``limits`` says that it cuts to an interval and
    does nothing else. ``is_monotonic`` says more of it.

    Class attributes
    ----------------
    keeps_slope
        Its derivative follows from its value alone.
    learns_as_identity
        Training takes its derivative as 1 (the perceptron rule).
    """

    is_elementwise = True
    keeps_slope: ClassVar[bool] = False
    learns_as_identity: ClassVar[bool] = False

    def shape(self, *shapes: Shape) -> Shape:
        """Shape of the result, the same."""
        return shapes[0]

    def derivative(self, x: Array, result: Array) -> Array:
        """Derivative at ``x``, where the function's value is ``result``."""
        raise NotImplementedError

    def gradient(self, arrays: Sequence[Array], result: Array, error: Array) -> list[Array | None]:
        """The error times the derivative."""
        return [error * self.derivative(arrays[0], result)]

    def gradient_by(
        self, place: int, arrays: Sequence[Array], result: Array, error: Array
    ) -> Array | None:
        """The same, where only what :meth:`gradient_reads` says is known."""
        x = result if self.keeps_slope else arrays[place]
        value = result if self.keeps_slope else self.real(x)
        return np.asarray(error * self.derivative(x, value))

    def gradient_reads(self, place: int) -> tuple[int, ...]:
        """The value where the derivative follows from it, else the argument."""
        return (RESULT,) if self.keeps_slope else (0,)
