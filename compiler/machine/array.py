"""WEIGHT and STREAM: products of words that move with tiles that stand still."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import product
from typing import NamedTuple

from pulsarray.compiler.machine.emitter import Access
from pulsarray.compiler.machine.loops import LEVELS, Loop, fewest, nest_fields
from pulsarray.compiler.machine.transfers import Transfers
from pulsarray.isa import Opcode, StreamFlag

__all__ = ["Array", "Limits", "Onto"]

_KEEP, _ACCUMULATE = int(StreamFlag.KEEP), int(StreamFlag.ACCUMULATE)
_READ, _WRITE = int(StreamFlag.WINDOW_READ), int(StreamFlag.WINDOW_WRITE)
_WORD = 0xFFFF


class Onto(NamedTuple):
    """Words ``first .. end-1`` of an accumulator bank."""

    bank: int
    first: int
    end: int


class Limits(NamedTuple):
    """A window: its first row and column, how many rows and columns there are, what is beyond.

    It is on what is read, or with ``writes`` on what is written.
    """

    row: int
    column: int
    height: int
    width: int
    pad: int = 0
    writes: bool = False

    @property
    def fields(self) -> dict[str, int]:
        """Fields of STREAM."""
        return {
            "row_start": self.row, "column_start": self.column,
            "row_limit": self.height, "column_limit": self.width, "pad": self.pad,
        }  # fmt: skip


class Array(Transfers):
    """Emits what products are made of."""

    def weigh(self, layer: int, touched: Sequence[Access], local: int, **fields: int) -> None:
        """WEIGHT from a word on of the bank that is touched."""
        strides = {f"stride{level}": 0 for level in (0, 1) if fields.get(f"count{level}") == 1}
        bank = touched[0].bank
        self.emitter.emit(Opcode.WEIGHT, layer, touched, bank=bank, local=local, **fields | strides)

    def stream(
        self,
        layer: int,
        touched: Sequence[Access],
        source: int,
        onto: Onto,
        outer: Sequence[Loop],
        inner: Sequence[Loop],
        *,
        fresh: bool,
        target: int | None = None,
        limits: Limits | None = None,
        flags: int = 0,
    ) -> None:
        """STREAM over a nest of any depth: what exceeds five levels becomes several instructions.

        Parameters
        ----------
        layer, touched
            For which layer, and the words that it reads.
        source, onto, target
            First word that is read; words that may be written, and the first of these.
        outer
            Levels of which every iteration is a pass, with a tile of its own.
        inner
            Levels of a pass. Iterations of all levels that stay on a target add up there.
        fresh
            Whether sums begin here, or are added to what is there.
        limits, flags
            The window, None without, and further flags.
        """
        nest = _nest(tuple(outer), tuple(inner))
        touched = [*touched, Access(*onto, write=True, exclusive=True)]
        place = {"source_bank": touched[0].bank, "source": source}
        place |= {"target_bank": onto.bank, "target": onto.first if target is None else target}
        if limits is not None:
            place |= limits.fields
            flags |= _WRITE if limits.writes else _READ
        for steps in _unrolled(nest.loose):
            begins = fresh and not any(not loop.target for _, loop in steps)
            again = nest.again if steps else 0
            how = {"flags": flags | again | (0 if begins else _ACCUMULATE)}
            how["fresh"] = nest.mask if begins else 0
            moved = _moved(place, steps)
            self.emitter.emit(Opcode.STREAM, layer, touched, **moved, **nest.fields, **how)


class _Nest(NamedTuple):
    """What an instruction has of a nest: levels that it lacks, its fields, those that add up.

    ``again`` are flags of those after the first: inside a pass the tile of weights stays.
    """

    loose: Sequence[Loop]
    fields: dict[str, int]
    mask: int
    again: int


@lru_cache(1024)
def _nest(outer: Sequence[Loop], inner: Sequence[Loop]) -> _Nest:
    # A pass has a level of its own, be it of a single word.
    outside, inside = fewest(outer), fewest(inner) or [Loop(1)]
    levels = [*outside, *inside]
    loose = max(0, len(levels) - LEVELS)
    kept, first = levels[loose:], LEVELS - len(levels[loose:])
    fields = nest_fields(kept, first)
    fields["inner"] = min(len(kept), len(inside))
    adds = (loop.count > 1 and not loop.target for loop in kept)
    mask = sum(1 << n for n, level_adds in enumerate(adds, first) if level_adds)
    return _Nest(levels[:loose], fields, mask, 0 if outside else _KEEP)


def _unrolled(levels: Sequence[Loop]) -> Iterator[list[tuple[int, Loop]]]:
    """Levels that are not 0, of every iteration of levels that no instruction has."""
    for place in product(*(range(loop.count) for loop in levels)):
        yield [(index, loop) for index, loop in zip(place, levels, strict=True) if index]


def _moved(fields: dict[str, int], steps: Sequence[tuple[int, Loop]]) -> dict[str, int]:
    """Fields of an instruction that begins elsewhere."""
    moved = dict(fields)
    for index, loop in steps:
        moved["source"] += index * loop.source
        moved["target"] += index * loop.target
        moved["row_start"] = moved.get("row_start", 0) + index * loop.row
        moved["column_start"] = moved.get("column_start", 0) + index * loop.column
    return moved | {"source": moved["source"] & _WORD, "target": moved["target"] & _WORD}
