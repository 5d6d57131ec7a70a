"""One layer as the scheduler sees it: a product, then the vector unit."""

from __future__ import annotations

from dataclasses import dataclass

from pulsarray.program import Tensor

__all__ = ["Product", "Requantize"]


@dataclass(frozen=True, kw_only=True)
class Requantize:
    """What the vector unit does to sums (docs/machine.md, section 5, VECTOR).

    Parameters
    ----------
    per_lane
        Whether bias, multiplier and shift are those of the layer's parameters.
    multiplier, shift
        Scale of every lane where ``per_lane`` is off.
    zero
        Zero point of the result, before a table.
    low, high
        Limits of the result, before a table.
    """

    per_lane: bool
    multiplier: int = 1
    shift: int = 0
    zero: int = 0
    low: int = -128
    high: int = 127


@dataclass(frozen=True, kw_only=True)
class Product:
    """An M x K times K x N product with its tensors in memory.

    Parameters
    ----------
    name, kind
        Name and operator, for the layer table.
    m, k, n
        Shape.
    source
        Left operand; None where the layer before leaves it on chip.
    weights
        Right operand: block j is K words.
    result
        Where the result goes; None where it stays on chip for the next layer.
    requantize
        From sums to codes; None where the sums themselves are stored.
    parameters
        Rows of per-lane constants, four accumulator words each; None without.
    table
        256-entry function table; None without.
    """

    name: str
    kind: str
    m: int
    k: int
    n: int
    source: Tensor | None
    weights: Tensor
    result: Tensor | None
    requantize: Requantize | None
    parameters: Tensor | None = None
    table: Tensor | None = None
