"""What a training step keeps on chip: rows of matrices and pieces of weights in the scratchpad.

The scratchpad is a cache that the compiler manages. A matrix of M rows lies there in segments, each
some whole column blocks in one bank; a piece of weights is some rows of one column block. What does
not fit gives way to what is needed: the one that was used longest ago, stored first if memory does
not have it yet.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pulsarray.compiler.machine.layout import Layout
from pulsarray.errors import InputError
from pulsarray.program import Tensor

if TYPE_CHECKING:
    from pulsarray.compiler.training.chip import TrainChip

__all__ = ["Cache", "Matrix", "NoRoom", "Pool", "Segment", "Words", "rows_of"]


class NoRoom(InputError):
    """Something does not fit the chip in segments of this size; smaller ones may."""


@dataclass(frozen=True)
class Words:
    """Where an operand lies: its first word, and the steps from block to block and row to row."""

    bank: int
    base: int
    block: int
    row: int = 1


class Pool:
    """Free words of some banks.

    Parameters
    ----------
    banks, depth
        The banks, and words in each.
    """

    def __init__(self, banks: Iterable[int], depth: int) -> None:
        self._free = {bank: [(0, depth)] for bank in banks}

    def take(
        self, words: int, avoid: Collection[int] = (), prefer: Collection[int] = ()
    ) -> tuple[int, int] | None:
        """Bank and first of some words in a row, in a preferred or else the emptiest bank."""
        allowed = [bank for bank in self._free if bank not in avoid]
        for bank in sorted(allowed, key=lambda b: (b not in prefer, -self._room(b))):
            for place, (low, high) in enumerate(self._free[bank]):
                if high - low >= words:
                    self._free[bank][place] = (low + words, high)
                    return bank, low
        return None

    def give(self, bank: int, low: int, words: int) -> None:
        """Words are free again."""
        spans = sorted([*self._free[bank], (low, low + words)])
        merged = [spans[0]]
        for first, last in spans[1:]:
            if first <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
            else:
                merged.append((first, last))
        self._free[bank] = [span for span in merged if span[0] < span[1]]

    def _room(self, bank: int) -> int:
        return sum(high - low for low, high in self._free[bank])


@dataclass(eq=False)
class Segment:
    """Some column blocks of a matrix, or some rows of one column block of weights.

    Parameters
    ----------
    tensor
        Its home in memory; None as long as it has none.
    word
        First word in the home.
    rows, blocks
        Words of a block, and blocks; they are ``rows`` words apart.
    home_stride
        The same in the home.
    first
        Number of its first column block.
    slack
        Words behind it that may be addressed but are never used.
    place
        Bank and first word on chip, if it is there.
    dirty, written
        Whether memory does not have it, and how many of its blocks have been computed.
    """

    tensor: Tensor | None
    word: int
    rows: int
    blocks: int
    home_stride: int
    first: int = 0
    slack: int = 0
    place: tuple[int, int] | None = None
    dirty: bool = False
    written: int = 0

    @property
    def words(self) -> int:
        """Words that it takes on chip."""
        return self.rows * self.blocks + self.slack

    @property
    def bank(self) -> int:
        """Its bank."""
        assert self.place is not None
        return self.place[0]

    def base(self, block: int = 0) -> int:
        """First word of one of the matrix's column blocks."""
        assert self.place is not None
        return self.place[1] + (block - self.first) * self.rows


@dataclass(eq=False)
class Matrix:
    """A matrix of rows on chip.

    Parameters
    ----------
    name
        Its name, also in memory should it be stored.
    rows, columns
        Shape M x N.
    segments
        Its segments, in order.
    """

    name: str
    rows: int
    columns: int
    segments: Sequence[Segment] = field(default_factory=list)

    def segment(self, block: int) -> Segment:
        """The segment that holds a column block."""
        return next(s for s in self.segments if s.first <= block < s.first + s.blocks)

    def cuts(self) -> list[int]:
        """First blocks of the segments, and the number of blocks."""
        last = self.segments[-1]
        return [*(segment.first for segment in self.segments), last.first + last.blocks]


def rows_of(matrix: Matrix, block: int) -> Words:
    """A matrix's rows from a column block on."""
    segment = matrix.segment(block)
    return Words(segment.bank, segment.base(block), segment.rows)


class Cache:
    """Segments in the scratchpad banks of one pool.

    Parameters
    ----------
    chip
        Emits what is moved.
    layout
        Takes the homes of what has to give way.
    pool
        The banks.
    share
        A segment takes at most one part in so many of a bank.

    Members
    -------
    phase
        Number of the phase that transfers are counted for.
    spilled
        Names of what was stored because it had to give way.
    """

    def __init__(self, chip: TrainChip, layout: Layout, pool: Pool, share: int = 1) -> None:
        self.chip, self.layout, self.pool, self.share = chip, layout, pool, share
        self.phase = 0
        self.spilled: list[str] = []
        self._resident: list[Segment] = []
        self._names: dict[Segment, Matrix] = {}

    def matrix(
        self, name: str, rows: int, columns: int, home: Tensor | None = None, largest: int = 0
    ) -> Matrix:
        """A matrix that is in memory, or will be computed, in segments of some blocks at most."""
        config = self.chip.config
        total, slack = -(-columns // config.dim), (-rows) % config.dim
        most = max(1, (config.scratchpad_depth // self.share - slack) // rows)
        size = min(most, largest) if largest else -(-total // -(-total // most))
        found = Matrix(name, rows, columns)
        found.segments = [
            Segment(home, first * rows, rows, min(size, total - first), rows, first, slack)
            for first in range(0, total, size)
        ]
        self.adopt(found)
        return found

    def adopt(self, matrix: Matrix) -> None:
        """Take care of the segments of a matrix."""
        for segment in matrix.segments:
            self._names[segment] = matrix

    def get(
        self, segment: Segment, *, avoid: Collection[int] = (), pinned: Sequence[Segment] = ()
    ) -> Segment:
        """Have a segment on chip."""
        if segment.place is None:
            self._make_room(segment, pinned, avoid)
            if segment.tensor is not None:
                self._move(segment, load=True)
        self._touch(segment)
        return segment

    def new(
        self,
        segment: Segment,
        blocks: int = 1,
        *,
        avoid: Collection[int] = (),
        pinned: Sequence[Segment] = (),
    ) -> Segment:
        """Have room for a segment of which so many more blocks are about to be computed.

        Until all are, it stays: what is stored must not depend on what the bank held before.
        """
        if segment.place is None:
            self._make_room(segment, pinned, avoid)
        segment.dirty = True
        segment.written += blocks
        self._touch(segment)
        return segment

    def fits(self, words: int, avoid: Collection[int]) -> bool:
        """Whether there is room in a bank that is not to be avoided."""
        place = self.pool.take(words, avoid)
        if place is not None:
            self.pool.give(*place, words)
        return place is not None

    def reserve(self, words: int, avoid: Collection[int] = ()) -> tuple[int, int]:
        """Bank and first of some words that are no segment's from now on."""
        part = Segment(None, 0, words, 1, words)
        self._make_room(part, (), avoid)
        assert part.place is not None
        return part.place

    def drop(self, segments: Iterable[Segment]) -> None:
        """Segments that are no longer needed."""
        for segment in segments:
            if segment.place is not None:
                self.pool.give(*segment.place, segment.words)
                segment.place = None
                self._resident.remove(segment)

    def _touch(self, segment: Segment) -> None:
        if segment in self._resident:
            self._resident.remove(segment)
        self._resident.append(segment)

    def _make_room(
        self, segment: Segment, pinned: Sequence[Segment], avoid: Collection[int] = ()
    ) -> None:
        victims = iter(self._victims(pinned))
        while (place := self._place(segment, avoid)) is None:
            victim = next(victims, None)
            if victim is None:
                raise NoRoom(
                    f"batch: {segment.rows} rows do not fit the scratchpad; use a smaller batch"
                )
            if victim.dirty:
                self._spill(victim)
            self.drop([victim])
        segment.place = place

    def _victims(self, pinned: Sequence[Segment]) -> list[Segment]:
        """What may give way, the longest unused first."""
        whole = (s for s in self._resident if not s.dirty or s.written >= s.blocks)
        return [segment for segment in whole if segment not in pinned]

    def _place(self, segment: Segment, avoid: Collection[int]) -> tuple[int, int] | None:
        """Beside the other segments of its matrix if possible, so that few banks are read."""
        matrix = self._names.get(segment)
        others = matrix.segments if matrix is not None else ()
        near = [other.bank for other in others if other.place is not None]
        take = self.pool.take
        return take(segment.words, avoid, near) or take(segment.words, (), near)

    def part(self, segment: Segment, other: Segment, avoid: Collection[int] = ()) -> None:
        """Have two segments in different banks, as units that read both at once need them.

        The first one moves, if it can not to a bank of ``avoid``.
        """
        if segment.bank != other.bank:
            return
        bank, base = segment.bank, segment.base(segment.first)
        place = self.pool.take(segment.words, [bank, *avoid])
        place = place or self.pool.take(segment.words, [bank])
        victims = self._victims((segment, other))
        while place is None:
            if not victims:
                raise NoRoom(
                    f"batch: {segment.rows} rows do not fit the scratchpad; use a smaller batch"
                )
            victim = victims.pop(0)
            if victim.dirty:
                self._spill(victim)
            self.drop([victim])
            place = self.pool.take(segment.words, [bank])
        words = segment.rows * segment.blocks
        self.chip.vector(self.phase, 1, words, Words(bank, base, 0), target=Words(*place, 0))
        self.pool.give(bank, base, segment.words)
        segment.place = place

    def _spill(self, segment: Segment) -> None:
        matrix = self._names[segment]
        if segment.tensor is None:
            home = self.layout.add(
                matrix.name, "intermediate", matrix.rows, matrix.columns, element="code"
            )
            for part in matrix.segments:
                part.tensor = home
            self.spilled.append(matrix.name)
        self._move(segment, load=False)
        segment.dirty = False

    def _move(self, segment: Segment, *, load: bool) -> None:
        assert segment.tensor is not None
        move = self.chip.load if load else self.chip.store
        move(
            self.phase,
            segment.tensor,
            segment.word,
            segment.bank,
            segment.base(segment.first),
            rows=segment.rows,
            blocks=segment.blocks,
            local_stride=segment.rows,
            memory_stride=segment.home_stride,
        )
