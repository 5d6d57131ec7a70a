"""STREAM over loop nests of any depth, with windows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

from pulsarray.compiler.ir.window import Window
from pulsarray.compiler.lower.chip import MapChip
from pulsarray.compiler.lower.views import Stored
from pulsarray.compiler.machine.emitter import Access
from pulsarray.isa import Opcode, StreamFlag

__all__ = ["Loop", "emit_stream", "window_fields"]

_LEVELS = 5


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


def window_fields(window: Window, stored: Stored, row: int, column: int) -> dict[str, int]:
    """Flags and fields of a STREAM whose first word is that of a row and column of a padded map."""
    if not any(window.padding):
        return {}
    return {
        "flags": int(StreamFlag.WINDOW_READ),
        "row_start": row,
        "column_start": column,
        "row_limit": stored.height,
        "column_limit": stored.width,
        "pad": stored.zero_point,
    }


def emit_stream(
    chip: MapChip,
    layer: int,
    touched: Sequence[Access],
    outer: Sequence[Loop],
    inner: Sequence[Loop],
    *,
    fresh: bool,
    fields: dict[str, int],
    summed: Sequence[Loop] = (),
) -> None:
    """STREAM over a nest of any depth: what exceeds five levels becomes several instructions.

    Parameters
    ----------
    chip, layer, touched
        Where to, for which layer, and the words it touches.
    outer
        Levels of which every iteration is a pass that adds to the same sums.
    inner
        Levels of a pass, at most four that cannot be merged.
    fresh
        Whether the first iteration of ``outer`` overwrites the sums.
    fields
        Fields of the first instruction, its flags among them.
    summed
        Levels inside a pass, the innermost ones, that add up in one word.
    """
    # A pass has a level of its own, be it of a single word.
    outside, inside, within = _fewest(outer), _fewest(inner) or [Loop(1)], _fewest(summed)
    levels = [(loop, True) for loop in outside]
    levels += [(loop, False) for loop in inside] + [(loop, True) for loop in within]
    loose = max(0, len(levels) - _LEVELS)
    kept, first = levels[loose:], _LEVELS - len(levels[loose:])
    pass_levels = min(len(kept), len(inside) + len(within))
    mask = sum(1 << first + n for n, (_, adds) in enumerate(kept) if adds)
    nest = _nest([loop for loop, _ in kept], first)
    for steps in _unrolled(levels[:loose]):
        begins = fresh and not any(adds for *_, adds in steps)
        # Inside a pass the tile of weights stays.
        again = StreamFlag.KEEP if steps and not outside else 0
        more = again | (0 if begins else StreamFlag.ACCUMULATE)
        moved = _moved(fields, steps)
        flags = moved.pop("flags", 0) | more
        fresh_levels = mask if begins else 0
        chip.emitter.emit(
            Opcode.STREAM,
            layer,
            touched,
            **moved | nest | {"flags": flags, "inner": pass_levels, "fresh": fresh_levels},
        )


_Step = tuple[int, Loop, bool]
"""An index above 0 of an unrolled level; whether the level's iterations add up."""


def _unrolled(levels: Sequence[tuple[Loop, bool]]) -> Iterator[list[_Step]]:
    """Levels that are not 0, of every iteration of levels that no instruction has."""
    for place in product(*(range(loop.count) for loop, _ in levels)):
        yield [(index, *level) for index, level in zip(place, levels, strict=True) if index]


def _moved(fields: dict[str, int], steps: Sequence[_Step]) -> dict[str, int]:
    """Fields of an instruction that begins elsewhere."""
    moved = dict(fields)
    for index, loop, _ in steps:
        moved["source"] += index * loop.source
        moved["target"] += index * loop.target
        moved["row_start"] = moved.get("row_start", 0) + index * loop.row
        moved["column_start"] = moved.get("column_start", 0) + index * loop.column
    moved["source"] &= 0xFFFF
    return moved


def _nest(loops: Sequence[Loop], first: int) -> dict[str, int]:
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


def _fewest(loops: Sequence[Loop]) -> list[Loop]:
    """The same nest with as few levels as possible."""
    nest: list[Loop] = []
    for loop in loops:
        if loop.count == 1:
            continue
        if nest and nest[-1].steps == tuple(loop.count * step for step in loop.steps):
            nest[-1] = replace(loop, count=nest[-1].count * loop.count)
        else:
            nest.append(loop)
    return nest
