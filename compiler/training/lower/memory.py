"""What a training step keeps on chip: feature maps and pieces of weights in the scratchpad.

The scratchpad is a cache that the compiler manages. A map lies there in segments, each some whole
column blocks in one bank; a piece of weights is some rows of one column block. What does not fit
gives way to what is needed: the one that was used longest ago, stored first if memory does not
have it yet.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from pulsarray.compiler.machine.banks import Space
from pulsarray.compiler.machine.layout import Layout
from pulsarray.compiler.machine.views import Area, Words
from pulsarray.compiler.training.layers import MapShape
from pulsarray.compiler.training.lower.chip import NoRoom, TrainChip
from pulsarray.compiler.training.lower.maps import FeatureMap, Segment, segments_of
from pulsarray.isa import Opcode
from pulsarray.program import Tensor

__all__ = ["Cache"]


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
        A segment of a map takes at most one part in so many of a bank.

    Members
    -------
    spilled
        Names of what was stored because it had to give way.
    """

    def __init__(self, chip: TrainChip, layout: Layout, pool: Space, share: int = 1) -> None:
        self.chip, self.layout, self.pool, self.share = chip, layout, pool, share
        self.spilled: list[str] = []
        self._resident: list[Segment] = []
        self._names: dict[Segment, FeatureMap] = {}

    def place(
        self,
        name: str,
        images: int,
        shape: MapShape,
        home: Tensor | None = None,
        largest: int = 0,
    ) -> FeatureMap:
        """A map that is in memory, or will be computed; vectors in at most so many blocks each.

        Raises
        ------
        InputError
            If one channel block of an image does not fit a bank.
        """
        placed, config = FeatureMap(name, images, shape), self.chip.config
        depth = config.scratchpad_depth
        placed.segments = segments_of(placed, config.dim, depth, self.share, home, largest)
        self._names |= dict.fromkeys(placed.segments, placed)
        return placed

    def segment(self, name: str, rows: int, home: Tensor | None = None) -> Segment:
        """The segment of a map of one column block."""
        return self.place(name, rows, (1, 1, 1), home).segments[0]

    def get(
        self, segment: Segment, *, avoid: Collection[int] = (), pinned: Sequence[Segment] = ()
    ) -> Segment:
        """Have a segment on chip."""
        if segment.place is None:
            self._make_room(segment, pinned, avoid)
            if segment.tensor is not None:
                self._move(segment, segment.tensor, Opcode.LOAD)
        self._touch(segment)
        return segment

    def read(self, stored: FeatureMap, tile: Area) -> Words:
        """A tile of a map, which is on chip now."""
        self.get(stored.of(tile))
        return stored.words(tile)

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

    def reserve(self, words: int, avoid: Collection[int] = ()) -> tuple[int, int]:
        """Bank and first of some words that are no segment's from now on."""
        part = Segment(None, 0, words, 1, words)
        self._make_room(part, (), avoid)
        return part.on_chip

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
            self._evict(next(victims, None), segment)
        segment.place = place

    def _evict(self, victim: Segment | None, segment: Segment) -> None:
        """Something gives way to a segment.

        Raises
        ------
        NoRoom
            If there is nothing left that may.
        """
        if victim is None:
            raise NoRoom(
                f"batch: {segment.rows} rows do not fit the scratchpad; use a smaller batch"
            )
        if victim.dirty:
            self._spill(victim)
        self.drop([victim])

    def _victims(self, pinned: Sequence[Segment]) -> list[Segment]:
        """What may give way, the longest unused first."""
        whole = (s for s in self._resident if not s.dirty or s.written >= s.blocks)
        return [segment for segment in whole if segment not in pinned]

    def _place(self, segment: Segment, avoid: Collection[int]) -> tuple[int, int] | None:
        """Beside the other segments of its map if possible, so that few banks are read."""
        held = self._names.get(segment)
        others = held.segments if held is not None else ()
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
        victims = iter(self._victims((segment, other)))
        while place is None:
            self._evict(next(victims, None), segment)
            place = self.pool.take(segment.words, [bank])
        words, target = Words.at(bank, base), Words.at(*place, 0)
        self.chip.compute(segment.words, words, target=target)
        self.pool.give(bank, base, segment.words)
        segment.place = place

    def _spill(self, segment: Segment) -> None:
        held = self._names[segment]
        home = segment.tensor
        if home is None:
            home = self.layout.add(
                held.name, "intermediate", held.rows, held.columns, element="code"
            )
            for part in held.segments:
                part.tensor = home
            self.spilled.append(held.name)
        self._move(segment, home, Opcode.STORE)
        segment.dirty = False

    def _move(self, segment: Segment, home: Tensor, op: Opcode) -> None:
        here = Words.at(segment.bank, segment.base(segment.first))
        sizes = segment.rows, segment.blocks, segment.rows, segment.home_stride
        self.chip.move(op, home, segment.word, here, *sizes)
