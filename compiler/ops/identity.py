"""The identity."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from pulsarray.compiler.ir.operator import Block, Kind, Operator
from pulsarray.compiler.ir.value import Array, Shape, Value
from pulsarray.compiler.ops.clip import Clip

__all__ = ["Identity"]


class Identity(
    Operator, title="identity", summary="x under another name", kind=Kind.HOST, reads=("x",)
):
    """``x``, by another name: a value that is two outputs, each as a host has it."""

    only_moves = True
    only_chooses = True

    @property
    def limits(self) -> tuple[float, float]:
        """None of the real numbers is cut off."""
        return -inf, inf

    def shape(self, *shapes: Shape) -> Shape:
        """Shape of the result, the same."""
        return shapes[0]

    def real(self, *arrays: Array) -> Array:
        """The same elements."""
        return arrays[0]

    def gradient(self, arrays: Sequence[Array], result: Array, error: Array) -> list[Array | None]:
        """The same elements."""
        return [error]

    def expand(self, block: Block, *inputs: Value) -> Value:
        """A function without limits."""
        return block(Clip(), *inputs)
