"""Feature maps on chip: some images of some channel blocks in each segment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from pulsarray.compiler.training.layers import MapShape
from pulsarray.compiler.training.memory import Cache, Matrix, Segment, Words
from pulsarray.errors import InputError
from pulsarray.program import Tensor

__all__ = [
    "FeatureMap",
    "MapSegment",
    "Tile",
    "banks_of",
    "common",
    "place_map",
    "tiles",
    "words_at",
    "written",
]


@dataclass(eq=False)
class MapSegment(Segment):
    """Images ``low .. high-1`` of some channel blocks; a block's pixels lie one after the other.

    Parameters
    ----------
    low, high
        The images.
    """

    low: int = 0
    high: int = 0


@dataclass(frozen=True)
class Tile:
    """Images and rows of a map: several images are whole ones.

    Parameters
    ----------
    low, high
        The images.
    top, bottom
        The rows.
    """

    low: int
    high: int
    top: int
    bottom: int

    @property
    def images(self) -> int:
        """How many images."""
        return self.high - self.low

    @property
    def rows(self) -> int:
        """How many rows of each."""
        return self.bottom - self.top


@dataclass(eq=False)
class FeatureMap(Matrix):
    """A feature map as a matrix whose rows are pixels: image, row, column.

    Parameters
    ----------
    shape
        Rows, columns and channels of an image.
    images
        How many.
    """

    shape: MapShape = (1, 1, 1)
    images: int = 1

    @property
    def pixels(self) -> int:
        """Pixels of an image."""
        return self.shape[0] * self.shape[1]

    def cuts(self) -> list[int]:
        """First channel blocks of the segments, and the number of blocks."""
        last = max(segment.first + segment.blocks for segment in self.segments)
        return [*sorted({segment.first for segment in self.segments}), last]

    def at(self, image: int, block: int) -> MapSegment:
        """The segment that holds an image's channel block."""
        for segment in self.parts:
            inside = segment.first <= block < segment.first + segment.blocks
            if inside and segment.low <= image < segment.high:
                return segment
        raise AssertionError

    @property
    def parts(self) -> list[MapSegment]:
        """The segments."""
        return [segment for segment in self.segments if isinstance(segment, MapSegment)]

    def groups(self) -> list[tuple[int, int]]:
        """Ranges of images that lie together."""
        return sorted({(segment.low, segment.high) for segment in self.parts})

    def word(self, image: int, block: int, row: int = 0) -> int:
        """Where a row of a segment on chip begins."""
        segment = self.at(image, block)
        return segment.base(block) + (image - segment.low) * self.pixels + row * self.shape[1]


def place_map(
    cache: Cache, name: str, images: int, shape: MapShape, home: Tensor | None = None
) -> FeatureMap:
    """A map in segments of whole images with all channels, or else of some channels.

    Raises
    ------
    InputError
        If one channel block of an image does not fit a bank.
    """
    dim = cache.chip.config.dim
    pixels, blocks = shape[0] * shape[1], -(-shape[2] // dim)
    rows, depth = images * pixels, cache.chip.config.scratchpad_depth
    limit = depth // (2 * cache.share)
    found = FeatureMap(name, rows, shape[2], shape=shape, images=images)
    if pixels > depth:
        raise InputError(
            f"{name}: {pixels} pixels of an image do not fit a scratchpad bank of {depth} words"
        )
    if pixels == 1 and rows <= depth:
        together, width = images, max(1, limit // rows)
    elif pixels * blocks <= limit:
        together, width = min(images, limit // (pixels * blocks)), blocks
    else:
        together, width = 1, max(1, limit // pixels)
    together = -(-images // -(-images // together))
    width = -(-blocks // -(-blocks // width))
    found.segments = [
        MapSegment(
            tensor=home,
            word=first * rows + low * pixels,
            rows=min(together, images - low) * pixels,
            blocks=min(width, blocks - first),
            home_stride=rows,
            first=first,
            low=low,
            high=min(images, low + together),
        )
        for low in range(0, images, together)
        for first in range(0, blocks, width)
    ]
    cache.adopt(found)
    return found


def common(*groups: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Ranges that are within one of each; all cover the same images."""
    ends = {end for ranges in groups for end in (0, *(high for _, high in ranges))}
    return list(pairwise(sorted(ends)))


def tiles(found: FeatureMap, images: tuple[int, int], most: int) -> Iterator[Tile]:
    """Parts of some images of at most ``most`` pixels: whole images, or rows of one.

    Raises
    ------
    InputError
        If a row has more pixels.
    """
    height, width, _ = found.shape
    low, high = images
    if found.pixels <= most:
        together = min(high - low, most // found.pixels)
        together = -(-(high - low) // -(-(high - low) // together))
        for first in range(low, high, together):
            yield Tile(first, min(high, first + together), 0, height)
        return
    rows = most // width
    if not rows:
        raise InputError(f"{found.name}: a row of {width} pixels does not fit {most} words")
    rows = -(-height // -(-height // rows))
    for image in range(low, high):
        for top in range(0, height, rows):
            yield Tile(image, image + 1, top, min(height, top + rows))


def written(found: FeatureMap, images: tuple[int, int]) -> None:
    """Some images are computed."""
    for segment in found.parts:
        if segment.high <= images[1]:
            segment.written = segment.blocks


def banks_of(found: FeatureMap) -> list[int]:
    """Banks that a map lies in."""
    return [part.bank for part in found.parts if part.place is not None]


def words_at(found: FeatureMap, tile: Tile, block: int) -> Words:
    """A tile of a map on chip, from a channel block on."""
    segment = found.at(tile.low, block)
    return Words(segment.bank, found.word(tile.low, block, tile.top), segment.rows)
