"""A matrix product as the scheduler sees it: operands in their places, then the vector unit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pulsarray.compiler.lower.chip import MapChip
from pulsarray.compiler.lower.epilogue import Epilogue
from pulsarray.compiler.lower.products.tile import Shape
from pulsarray.compiler.machine.views import Area, Stored
from pulsarray.program import Tensor

__all__ = ["Product"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Product:
    """An M x K times K x N product: maps of one pixel, M of them, against a matrix of weights.

    Parameters
    ----------
    layer
        The operator's place in the program.
    shape
        M, K and N.
    source
        Left operand: M images of one pixel.
    weights
        Right operand in memory: block j is K words.
    result
        Where the result goes.
    room, blocks
        Words and channel blocks of the result that may leave an accumulator bank at a time.
    finish
        What takes finished parts of the result to their place, from the parts in order.
    """

    layer: int
    shape: Shape
    source: Stored
    weights: Tensor
    result: Stored
    room: int
    blocks: int
    finish: Callable[[MapChip, Sequence[Area]], Epilogue]

    @property
    def loads_source(self) -> bool:
        """Whether the left operand comes from memory."""
        return self.source.tensor is not None
