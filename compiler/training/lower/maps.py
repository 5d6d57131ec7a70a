"""Feature maps on chip: some images of some channel blocks in each segment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from pulsarray.compiler.machine.views import Area, View, Words, balanced
from pulsarray.compiler.training.layers import MapShape
from pulsarray.errors import InputError
from pulsarray.program import Tensor

__all__ = [
    "FeatureMap",
    "Segment",
    "banks_of",
    "block_tiles",
    "common",
    "segments_of",
    "tiles",
    "written",
    "written_to",
]


@dataclass(eq=False)
class Segment:
    """Images ``low .. high-1`` of some channel blocks; or some rows of a block of weights.

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
    low, high
        The images.
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
    low: int = 0
    high: int = 0
    place: tuple[int, int] | None = None
    dirty: bool = False
    written: int = 0

    @property
    def words(self) -> int:
        """Words that it takes on chip."""
        return self.rows * self.blocks

    @property
    def end(self) -> int:
        """One past its last column block."""
        return self.first + self.blocks

    @property
    def on_chip(self) -> tuple[int, int]:
        """Its place, which it must have."""
        if self.place is None:
            raise AssertionError("a segment is used that is not on chip")
        return self.place

    @property
    def bank(self) -> int:
        """Its bank."""
        return self.on_chip[0]

    def base(self, block: int = 0) -> int:
        """First word of one of the map's column blocks."""
        return self.on_chip[1] + (block - self.first) * self.rows


@dataclass(eq=False)
class FeatureMap:
    """A feature map as a matrix whose rows are pixels: image, row, column.

    Parameters
    ----------
    name
        Its name, also in memory should it be stored.
    images, shape
        How many images, and rows, columns and channels of each.
    segments
        Its segments.
    """

    name: str
    images: int
    shape: MapShape
    segments: Sequence[Segment] = field(default_factory=list)

    @property
    def pixels(self) -> int:
        """Pixels of an image."""
        return self.shape[0] * self.shape[1]

    @property
    def rows(self) -> int:
        """Pixels of all images."""
        return self.images * self.pixels

    @property
    def columns(self) -> int:
        """Channels."""
        return self.shape[2]

    def cuts(self) -> list[int]:
        """First channel blocks of the segments, and the number of blocks."""
        firsts = {segment.first for segment in self.segments}
        return [*sorted(firsts), max(segment.end for segment in self.segments)]

    def at(self, image: int, block: int) -> Segment:
        """The segment that holds an image's channel block."""
        return next(
            segment
            for segment in self.segments
            if segment.first <= block < segment.end and segment.low <= image < segment.high
        )

    def groups(self) -> list[tuple[int, int]]:
        """Ranges of images that lie together."""
        return sorted({(segment.low, segment.high) for segment in self.segments})

    def of(self, tile: Area) -> Segment:
        """The segment that holds a tile's first channel block."""
        return self.at(tile.images[0], tile.blocks[0])

    def view(self, tile: Area) -> View:
        """That segment on chip."""
        segment, (_, width, _) = self.of(tile), self.shape
        origin = segment.first, segment.low, 0, 0
        return View(
            segment.bank, segment.base(segment.first), (segment.rows, self.pixels, width, 1), origin
        )

    def word(self, image: int, block: int, row: int = 0) -> int:
        """Where a row of a segment on chip begins."""
        segment = self.at(image, block)
        return segment.base(block) + (image - segment.low) * self.pixels + row * self.shape[1]

    def words(self, tile: Area) -> Words:
        """A tile on chip."""
        view = self.view(tile)
        return Words.at(view.bank, view.first(tile), view.steps[0])

    def lanes(self, tile: Area, dim: int) -> int:
        """Lanes of the last block that count if a tile ends with it; 0 for all."""
        return self.columns % dim if tile.blocks[1] == self.cuts()[-1] else 0

    def whole(self, tile: Area | None = None) -> Area:
        """All pixels, of all images or those of a tile."""
        height, width, _ = self.shape
        some = tile or Area((0, 1), (0, self.images), (0, height), (0, width))
        return replace(some, rows=(0, height), columns=(0, width))


def segments_of(
    maps: FeatureMap, dim: int, depth: int, share: int, home: Tensor | None, largest: int
) -> list[Segment]:
    """Segments of whole images with all channels, or else of some channels.

    Parameters
    ----------
    maps, home
        The map, and where it is in memory.
    dim, depth
        D, and words of a bank.
    share
        A segment takes at most one part in so many of a bank.
    largest
        Most blocks of a segment of vectors; 0 for as many as fit, evenly.

    Raises
    ------
    InputError
        If one channel block of an image does not fit a bank.
    """
    pixels, images, blocks = maps.pixels, maps.images, -(-maps.columns // dim)
    limit = depth // (2 * share)
    if pixels > depth:
        raise InputError(
            f"{maps.name}: {pixels} pixels of an image do not fit a scratchpad bank of "
            f"{depth} words"
        )
    if pixels == 1 and images <= depth:
        together, width = images, max(1, depth // share // images)
    elif pixels * blocks <= limit:
        together, width = min(images, limit // (pixels * blocks)), blocks
    else:
        together, width = 1, max(1, limit // pixels)
    together = balanced(images, together)
    width = min(width, largest) if largest else balanced(blocks, width)
    return [
        Segment(
            tensor=home, word=first * maps.rows + low * pixels,
            rows=min(together, images - low) * pixels, blocks=min(width, blocks - first),
            home_stride=maps.rows, first=first, low=low, high=min(images, low + together),
        )
        for low in range(0, images, together)
        for first in range(0, blocks, width)
    ]  # fmt: skip


def common(*groups: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Ranges that are within one of each; all cover the same images."""
    ends = {end for ranges in groups for end in (0, *(high for _, high in ranges))}
    return list(pairwise(sorted(ends)))


def block_tiles(feature_map: FeatureMap, images: tuple[int, int], most: int) -> Iterator[Area]:
    """The same as :func:`tiles` for each channel block, tile by tile; long rows in parts."""
    blocks, width = feature_map.cuts()[-1], feature_map.shape[1]
    if width <= most:
        return tiles(feature_map, images, most, blocks)
    some = replace(feature_map.whole(), images=images, blocks=(0, blocks))
    return some.cut(1, 1, 1, balanced(width, most))


def tiles(
    feature_map: FeatureMap, images: tuple[int, int], most: int, blocks: int = 1
) -> Iterator[Area]:
    """Parts of some images of at most ``most`` pixels: whole images, or rows of one.

    Raises
    ------
    InputError
        If a row has more pixels.
    """
    height, width, _ = feature_map.shape
    some = replace(feature_map.whole(), images=images, blocks=(0, blocks))
    if feature_map.pixels <= most:
        return some.cut(1, balanced(some.counts[1], most // feature_map.pixels), height, width)
    if width > most:
        raise InputError(f"{feature_map.name}: a row of {width} pixels does not fit {most} words")
    return some.cut(1, 1, balanced(height, most // width), width)


def written(feature_map: FeatureMap, images: tuple[int, int], blocks: int | None = None) -> None:
    """Some images are computed, or their channel blocks up to one."""
    for segment in feature_map.segments:
        if segment.high <= images[1] and (blocks is None or segment.end <= blocks):
            segment.written = segment.blocks


def written_to(feature_map: FeatureMap, tile: Area) -> None:
    """A tile is computed, the last pixels of its images after all others."""
    if (tile.rows[1], tile.columns[1]) == feature_map.shape[:2]:
        written(feature_map, tile.images, tile.blocks[1])


def banks_of(*maps: FeatureMap) -> list[int]:
    """Banks that maps lie in."""
    return [
        part.bank for feature_map in maps for part in feature_map.segments if part.place is not None
    ]
