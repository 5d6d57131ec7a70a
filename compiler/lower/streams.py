"""STREAM over loop nests of any depth, with windows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import product
from typing import NamedTuple

from pulsarray.compiler.ir.window import Window
from pulsarray.compiler.lower.chip import MapChip
from pulsarray.compiler.machine.emitter import Access
from pulsarray.compiler.machine.loops import LEVELS, Loop, fewest, nest_fields
from pulsarray.compiler.machine.views import Stored
from pulsarray.isa import Opcode, StreamFlag

__all__ = ["emit_stream", "window_fields"]


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
    nest = _nest(tuple(outer), tuple(inner), tuple(summed))
    for steps in _unrolled(nest.loose):
        begins = fresh and not any(adds for *_, adds in steps)
        again = nest.again if steps else 0
        moved = _moved(fields, steps)
        flags = moved.pop("flags", 0) | again | (0 if begins else _ACCUMULATE)
        how = {"flags": flags, "fresh": nest.mask if begins else 0}
        chip.emitter.emit(Opcode.STREAM, layer, touched, **moved | nest.fields | how)


_KEEP, _ACCUMULATE = int(StreamFlag.KEEP), int(StreamFlag.ACCUMULATE)


class _Nest(NamedTuple):
    """What an instruction has of a nest: levels that it lacks, its fields, those that add up.

    ``again`` are flags of those after the first: inside a pass the tile of weights stays.
    """

    loose: Sequence[tuple[Loop, bool]]
    fields: dict[str, int]
    mask: int
    again: int


@lru_cache(1024)
def _nest(outer: Sequence[Loop], inner: Sequence[Loop], summed: Sequence[Loop]) -> _Nest:
    # A pass has a level of its own, be it of a single word.
    outside, inside, within = fewest(outer), fewest(inner) or [Loop(1)], fewest(summed)
    levels = [(loop, True) for loop in outside]
    levels += [(loop, False) for loop in inside] + [(loop, True) for loop in within]
    loose = max(0, len(levels) - LEVELS)
    kept, first = levels[loose:], LEVELS - len(levels[loose:])
    fields = nest_fields([loop for loop, _ in kept], first)
    fields["inner"] = min(len(kept), len(inside) + len(within))
    mask = sum(1 << first + n for n, (_, adds) in enumerate(kept) if adds)
    return _Nest(levels[:loose], fields, mask, 0 if outside else _KEEP)


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
