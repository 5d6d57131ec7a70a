"""How busy the array is in each of the products of training: Y = X W, dX = dY W^T, dW = X^T dY."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pulsarray.isa import Instruction, Opcode, StreamFlag
from pulsarray.program import Layer, Program
from pulsarray.report.events import stream_end, work

__all__ = ["PRODUCTS", "ProductShare", "product_kind", "product_shares"]

PRODUCTS = ("forward", "input gradient", "weight gradient")
"""Kinds of products; bias gradients are weight gradients of an input of ones."""


@dataclass(frozen=True)
class ProductShare:
    """What the array did for one kind of product.

    Parameters
    ----------
    busy
        Cycles in which a word entered the array.
    cycles
        Cycles from the end of the product before to the end of its own, summed up: those that
        the array spent on it or waited for it.
    """

    busy: int
    cycles: int

    @property
    def utilization(self) -> float:
        """Share of the cycles in which the array was busy."""
        return self.busy / self.cycles if self.cycles else 0.0


def product_shares(program: Program, events: npt.NDArray[np.int64]) -> dict[str, ProductShare]:
    """Each kind's share of the time from the array's first word to its last, from a trace."""
    busy, cycles = dict.fromkeys(PRODUCTS, 0), dict.fromkeys(PRODUCTS, 0)
    before = -1
    for index, _, start, complete in events.tolist():
        instruction = program.instructions[index]
        if instruction.op is not Opcode.STREAM:
            continue
        kind = product_kind(instruction, index, program.layers)
        end = stream_end(instruction, complete, program.config)
        busy[kind] += work(instruction, program.config)
        cycles[kind] += end - (start if before < 0 else before)
        before = end
    return {kind: ProductShare(busy[kind], cycles[kind]) for kind in PRODUCTS if cycles[kind]}


def product_kind(instruction: Instruction, index: int, layers: Sequence[Layer]) -> str:
    """Which product of training a STREAM of a program is part of, of :data:`PRODUCTS`."""
    if instruction["flags"] & StreamFlag.TRANSPOSE:
        return PRODUCTS[2]
    backward = any(x.kind == "backward" for x in layers if x.first <= index < x.last)
    return PRODUCTS[1] if backward else PRODUCTS[0]
