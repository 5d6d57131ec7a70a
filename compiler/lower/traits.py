"""What the order of operators and the places of maps depend on, by operator."""

from __future__ import annotations

from dataclasses import dataclass
from functools import singledispatch

from pulsarray.compiler.ir.operator import Operator

__all__ = ["Traits", "traits_of"]


@dataclass(frozen=True)
class Traits:
    """How the vector unit works for an operator.

    Parameters
    ----------
    second
        Place of the input that is the vector unit's second operand; None without.
    joins
        Whether it can follow a product at once, taking its codes.
    takes
        Whether such an operator can follow it.
    vectors
        VECTORs that it is.
    sums
        Whether it needs words of an accumulator bank.
    rereads
        Whether it reads its own result: no bank can hold that and its input.
    weights
        Place of a map that goes to the array as weights do: no bank can hold that and what streams.
    beside
        Whether it puts maps side by side, which costs nothing where each begins with a block.
    anywhere
        Whether the words of its maps may lie in any steps: in parts of others, or repeated.
    """

    second: int | None = None
    joins: bool = False
    takes: bool = False
    vectors: int = 1
    sums: bool = False
    rereads: bool = False
    weights: int | None = None
    beside: bool = False
    anywhere: bool = False


@singledispatch
def traits_of(op: Operator) -> Traits:  # noqa: ARG001
    """Traits of an operator; each family registers its own."""
    return Traits()
