"""Loops of STREAM: nests with as few levels as possible, and the fields that hold them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

__all__ = ["LEVELS", "Loop", "fewest", "merged", "nest_fields"]

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


def merged(loops: Iterable[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """A nest of (count, steps...), outermost first, with as few levels as possible."""
    return list(_merged(tuple(loops)))


@lru_cache(4096)
def _merged(loops: tuple[tuple[int, ...], ...]) -> list[tuple[int, ...]]:
    nest: list[tuple[int, ...]] = []
    for count, *steps in loops:
        if count == 1:
            continue
        if nest and list(nest[-1][1:]) == [count * step for step in steps]:
            nest[-1] = (nest[-1][0] * count, *steps)
        else:
            nest.append((count, *steps))
    return nest


def fewest(loops: Sequence[Loop]) -> list[Loop]:
    """The same words in the same order with as few levels as possible, outermost first."""
    return [Loop(*nest) for nest in merged((loop.count, *loop.steps) for loop in loops)]


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
