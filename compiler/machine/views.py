"""Feature maps in words: where a map lies, and parts of it on chip."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product

from pulsarray.compiler.machine.emitter import MEMORY, Access, accesses
from pulsarray.program import Tensor

__all__ = ["Area", "Stored", "View", "Words", "balanced", "ranges"]


def ranges(whole: tuple[int, int], most: int) -> list[tuple[int, int]]:
    """A range in parts of at most so many."""
    return [(low, min(whole[1], low + most)) for low in range(*whole, most)]


def balanced(total: int, most: int) -> int:
    """Size of a tile of at most ``most``, such that all tiles of ``total`` are about equal."""
    return -(-total // -(-total // max(1, most)))


@dataclass(frozen=True)
class Area:
    """Part of a map: ranges of channel blocks, images, rows and columns.

    Several images are whole ones; rows and columns are then all of them.
    """

    blocks: tuple[int, int]
    images: tuple[int, int]
    rows: tuple[int, int]
    columns: tuple[int, int]

    @property
    def counts(self) -> tuple[int, int, int, int]:
        """Blocks, images, rows and columns."""
        return (
            self.blocks[1] - self.blocks[0],
            self.images[1] - self.images[0],
            self.rows[1] - self.rows[0],
            self.columns[1] - self.columns[0],
        )

    def cut(self, blocks: int, images: int, rows: int, columns: int) -> Iterator[Area]:
        """Parts of at most so many of each, all blocks of some pixels before the next pixels."""
        pixels = (self.images, images), (self.rows, rows), (self.columns, columns)
        cuts = [ranges(*axis) for axis in (*pixels, (self.blocks, blocks))]
        return (Area(b, i, r, c) for i, r, c, b in product(*cuts))

    def of(self, first: int, count: int = 1) -> Area:
        """The same pixels of other channel blocks."""
        return replace(self, blocks=(first, first + count))

    @property
    def pixels(self) -> int:
        """Words of one block."""
        _, images, rows, columns = self.counts
        return images * rows * columns

    @property
    def flat(self) -> tuple[int, int]:
        """Blocks, and words of each."""
        return self.counts[0], self.pixels

    @property
    def words(self) -> int:
        """Words of all blocks."""
        return self.counts[0] * self.pixels


@dataclass(frozen=True)
class View:
    """Words of a map in a bank: steps between blocks, images and rows; columns are neighbours.

    Parameters
    ----------
    bank
        The bank.
    base
        Word of the origin.
    steps
        Words from one block, image, row and column to the next.
    origin
        Block, image, row and column at ``base``.
    """

    bank: int
    base: int
    steps: tuple[int, int, int, int]
    origin: tuple[int, int, int, int] = (0, 0, 0, 0)

    def word(self, block: int, image: int, row: int, column: int) -> int:
        """Where a pixel of a block is; outside the map the word where it would be."""
        place = (block, image, row, column)
        return self.base + sum(
            (p - o) * step for p, o, step in zip(place, self.origin, self.steps, strict=True)
        )

    def first(self, area: Area) -> int:
        """Where the first word of an area is."""
        return self.word(area.blocks[0], area.images[0], area.rows[0], area.columns[0])

    def accesses(self, area: Area, *, write: bool) -> list[Access]:
        """The words of an area."""
        loops = list(zip(area.counts, self.steps, strict=True))
        return list(accesses(self.bank, self.first(area), loops, write=write))

    @classmethod
    def of(cls, bank: int, base: int, area: Area) -> View:
        """An area by itself, packed from a word on."""
        _, images, rows, columns = area.counts
        return cls(
            bank,
            base,
            (images * rows * columns, rows * columns, columns, 1),
            (area.blocks[0], area.images[0], area.rows[0], area.columns[0]),
        )


@dataclass(frozen=True)
class Words:
    """Words that VECTOR steps through: bank, first word, and a step for each level."""

    bank: int
    base: int
    steps: tuple[int, ...]

    @classmethod
    def of(cls, view: View, area: Area) -> Words:
        """An area: levels are blocks, images, rows and columns."""
        return cls(view.bank, view.first(area), view.steps)

    @classmethod
    def at(cls, bank: int, base: int = 0, block: int = 0, row: int = 1) -> Words:
        """Blocks of rows: levels are both, so many words apart."""
        return cls(bank, base, (block, row))

    def shifted(self, words: int) -> Words:
        """The same from another word on."""
        return Words(self.bank, self.base + words, self.steps)


@dataclass(frozen=True)
class Stored:
    """Where a map lies: in memory, or resident in a bank.

    Parameters
    ----------
    images, height, width, blocks
        Its shape; ``blocks`` of D channels.
    channels
        Channels; the last block may have fewer than D.
    tensor
        The tensor in memory; None if it is resident.
    bank, base
        Where it is resident.
    block
        First block of it in the tensor or in the bank: maps side by side share one.
    zero_point
        Code of zero.
    every, phase
        Of a larger map every so many rows and columns, from which ones on; ``across`` are the
        larger map's rows and columns.
    laid
        Steps, and the origin, where they are not those of a map of this shape.
    """

    images: int
    height: int
    width: int
    blocks: int
    channels: int
    tensor: Tensor | None = None
    bank: int = -1
    base: int = 0
    block: int = 0
    zero_point: int = 0
    every: tuple[int, int] = (1, 1)
    phase: tuple[int, int] = (0, 0)
    across: tuple[int, int] = (0, 0)
    laid: tuple[tuple[int, int, int, int], int] | None = None

    @property
    def sums(self) -> bool:
        """Whether its elements are sums, not codes: it is in memory then."""
        return self.tensor is not None and self.tensor.element == "sum"

    @property
    def steps(self) -> tuple[int, int, int, int]:
        """Words from one block, image, row and column to the next."""
        if self.laid is not None:
            return self.laid[0]
        height, width = self.across if self.across != (0, 0) else (self.height, self.width)
        size = height * width
        return self.images * size, size, self.every[0] * width, self.every[1]

    @property
    def origin(self) -> int:
        """The first word, counted from that of the tensor or bank."""
        if self.laid is not None:
            return self.laid[1]
        width = self.across[1] if self.across != (0, 0) else self.width
        return self.block * self.steps[0] + self.phase[0] * width + self.phase[1]

    def part(
        self,
        every: tuple[int, int],
        phase: tuple[int, int],
        counts: tuple[int, int] | None = None,
    ) -> Stored:
        """Every so many rows and columns, from which ones on, and how many; to the end without."""
        assert self.laid is None
        sizes = counts or [
            -(-(size - first) // step)
            for size, first, step in zip((self.height, self.width), phase, every, strict=True)
        ]
        return replace(
            self,
            height=sizes[0],
            width=sizes[1],
            every=every,
            phase=phase,
            across=(self.height, self.width),
        )

    def lanes(self, area: Area, dim: int) -> dict[str, int]:
        """The field that blanks lanes beyond the last channel, if an area has the last block."""
        return {"last_lanes": self.channels % dim if area.blocks[1] == self.blocks else 0}

    @property
    def whole(self) -> Area:
        """All of it."""
        return Area((0, self.blocks), (0, self.images), (0, self.height), (0, self.width))

    @property
    def view(self) -> View:
        """Its words in its bank."""
        return View(self.bank, self.base + self.origin, self.steps)

    def packed(self, bank: int, base: int, area: Area) -> View:
        """An area by itself, from a word of a bank on; blocks that are all one lie there once."""
        view = View.of(bank, base, area)
        return view if self.steps[0] else replace(view, steps=(0, *view.steps[1:]))

    def word(self, area: Area) -> int:
        """First word of an area in the tensor."""
        place = (area.blocks[0], area.images[0], area.rows[0], area.columns[0])
        return self.origin + sum(p * step for p, step in zip(place, self.steps, strict=True))

    def in_memory(self, area: Area, number: int, *, write: bool) -> list[Access]:
        """The words of an area in tensor ``number``."""
        loops = list(zip(area.counts, self.steps, strict=True))
        return list(accesses(MEMORY + number, self.word(area), loops, write=write))
