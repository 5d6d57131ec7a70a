"""What functions of single elements have in common; each is a file of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pulsarray.compiler.ir.operator import Operator
from pulsarray.compiler.ir.value import Array, Shape

__all__ = ["Function"]


@dataclass(frozen=True)
class Function(Operator):
    """A function of single elements: a subclass gives ``real`` and ``derivative``.

    It is a table of 256 codes in int8, but where ``limits`` says that it cuts to an interval and
    does nothing else. ``is_monotonic`` and ``saturation`` say more of it.
    """

    is_elementwise = True

    def shape(self, *shapes: Shape) -> Shape:
        """Shape of the result, the same."""
        return shapes[0]

    def derivative(self, x: Array, result: Array) -> Array:
        """Derivative at ``x``, where the function's value is ``result``."""
        raise NotImplementedError

    def gradient(self, arrays: Sequence[Array], result: Array, error: Array) -> list[Array | None]:
        """The error times the derivative."""
        return [error * self.derivative(arrays[0], result)]
