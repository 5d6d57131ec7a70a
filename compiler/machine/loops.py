"""Loops of STREAM: nests with as few levels as possible, and the fields that hold them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

__all__ = ["LEVELS", "Loop", "fewest", "nest_fields"]

LEVELS = 5
"""Levels that an instruction has."""


@dataclass(frozen=True)
class Loop:
    """A level of STREAM: iterations, steps of source and target, and of the window."""

    count: int
    source: int = 0
    target: int = 0
    row: int = 0
    column: int = 0

    @property
    def steps(self) -> tuple[int, int, int, int]:
        """All steps."""
        return self.source, self.target, self.row, self.column


def fewest(loops: Sequence[Loop]) -> list[Loop]:
    """The same words in the same order with as few levels as possible, outermost first."""
    nest: list[Loop] = []
    for loop in loops:
        if loop.count == 1:
            continue
        if nest and nest[-1].steps == tuple(loop.count * step for step in loop.steps):
            nest[-1] = replace(loop, count=nest[-1].count * loop.count)
        else:
            nest.append(loop)
    return nest


def nest_fields(loops: Sequence[Loop], first: int) -> dict[str, int]:
    """Fields of the levels from one on."""
    fields: dict[str, int] = {}
    for level, loop in enumerate(loops, first):
        fields |= {
            f"count{level}": loop.count,
            f"source_stride{level}": loop.source,
            f"target_stride{level}": loop.target,
            f"row_step{level}": loop.row,
            f"column_step{level}": loop.column,
        }
    return fields
