"""Where operands of the vector unit lie on chip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pulsarray.errors import InputError

__all__ = ["Grid", "NoRoom", "Words"]


class NoRoom(InputError):
    """Something does not fit the chip in segments of this size; smaller ones may."""


@dataclass(frozen=True)
class Words:
    """Where an operand lies: its first word, and the steps from block to block and row to row."""

    bank: int
    base: int
    block: int
    row: int = 1


@dataclass(frozen=True)
class Grid:
    """Where an operand lies: its first word, and the step of each loop, outermost first."""

    bank: int
    base: int
    steps: tuple[int, ...]

    def end(self, counts: Sequence[int]) -> int:
        """Its last word."""
        loops = zip(counts, self.steps, strict=True)
        return self.base + sum((count - 1) * step for count, step in loops)
