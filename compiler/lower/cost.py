"""An estimate of the cycles that a way to cut a convolution takes.

Units work at the same time, so the estimate is the longest of them, and what cannot overlap: the
first words, the last results, transfers where there is room for one block only.
"""

from __future__ import annotations

from functools import cached_property
from itertools import product
from math import prod

from pulsarray.compiler.lower.cuts import ConvolutionShape, Cut, Room, source_words
from pulsarray.config import Config

__all__ = ["estimate", "repeats"]

_STEP = 24
"""Estimated cycles that a step costs besides its words: it keeps tiles from becoming tiny.

With 0, 40 random networks on the corpus' machine `odd` take 55 % more cycles; with 96, 7.8 %."""


def repeats(slots: int, slices: int, own: int, others: int, *, outer: bool) -> int:
    """How often an operand comes from memory: once if it stays, else for each tile of the other.

    Of its slices ``slots`` are on chip; a tile has ``slices``, all have ``own``. ``outer`` says
    whether the loop over its tiles is the outer one, so that one tile must stay, not all.
    """
    stays = slots > slices if outer else slots >= own
    return 1 if stays else others


def estimate(shape: ConvolutionShape, config: Config, room: Room, cut: Cut) -> float:
    """Estimated cycles."""
    return _Estimate(shape, config, room, cut).cycles


class _Estimate:
    """What a cut costs each unit, in cycles, and memory, in words."""

    def __init__(self, shape: ConvolutionShape, config: Config, room: Room, cut: Cut) -> None:
        self.shape, self.config, self.room, self.cut = shape, config, room, cut
        self.tiles = prod(-(-total // size) for total, size in self._axes)
        self.groups = -(-shape.out_blocks // cut.blocks)
        self.depth_slices = -(-shape.depth // cut.depth)
        self.slices = self.depth_slices * -(-shape.window.kernel[0] // cut.taps)
        self.block_words = source_words(shape, cut.images, cut.rows, cut.columns)
        self.source_size = self.block_words * cut.depth
        self.outputs = shape.images * shape.out_height * shape.out_width * shape.out_blocks

    @property
    def cycles(self) -> float:
        """The longest unit, and what cannot overlap."""
        beats, stored = self.config.beats_per_word, self.shape.stores_result
        transfer = (self.loads + self._parameters) * beats
        stores = self.outputs * beats if stored else 0
        vector = self.outputs * self.shape.vector_words
        steps = self.tiles * self.shape.out_blocks * self.slices
        serial = 0 if self._overlaps else min(self.compute, transfer)
        start = self.source_size * beats if self.shape.loads_source else 0
        last = self.shape.vector_words + (beats if stored else 0)
        tail = self.cut.pixels * self.cut.blocks * last
        work = max(self.compute + steps * 2, transfer, stores, vector)
        return work + serial + start + tail + steps * _STEP / 8 + self.tiles * self.groups * _STEP

    @property
    def _axes(self) -> list[tuple[int, int]]:
        """Images, rows and columns: all, and those of a tile."""
        shape, cut = self.shape, self.cut
        totals = shape.images, shape.out_height, shape.out_width
        return list(zip(totals, (cut.images, cut.rows, cut.columns), strict=True))

    @property
    def _taps(self) -> int:
        return prod(self.shape.window.kernel)

    @cached_property
    def compute(self) -> int:
        """Words through the array; a pass takes D cycles at least."""
        passes = self._taps * self.shape.depth * self.shape.out_blocks
        sizes = product(*(_parts(total, size) for total, size in self._axes))
        return passes * sum(
            i * r * c * max(images * rows * columns, self.config.dim)
            for (i, images), (r, rows), (c, columns) in sizes
        )

    @property
    def loads(self) -> int:
        """Words of weights, source and second operand that are LOADed."""
        second = self.outputs if self.shape.loads_second else 0
        source = self._source_loads if self.shape.loads_source else 0
        return self._weight_loads + source + second

    @property
    def _weight_slots(self) -> int:
        words = self.cut.taps * self.shape.window.kernel[1] * self.cut.depth * self.config.dim
        return self.room.weight * (self.config.scratchpad_depth // words)

    @property
    def _weight_loads(self) -> int:
        """All weights, for every tile of pixels again where they do not stay."""
        shape, keys = self.shape, self.slices * self.shape.out_blocks
        whole = self._taps * shape.depth * self.config.dim * shape.out_blocks
        kept = keys if self.cut.pixels_outer else min(keys, self.slices * self.cut.blocks)
        return whole * (1 if self._weight_slots >= kept else self.tiles)

    @property
    def _source_slots(self) -> int:
        bank, size = self.config.scratchpad_depth, self.source_size
        return self.room.source * (bank // size) if size <= bank else 0

    @property
    def _source_loads(self) -> int:
        """Each tile's source, for every group of blocks again where it does not stay."""
        shape, cut, slots = self.shape, self.cut, self._source_slots
        once = self.block_words * shape.depth * self.tiles
        if not shape.shares_depth:
            return once * shape.out_blocks
        own = self.depth_slices * self.tiles
        slices = self.depth_slices
        return once * repeats(slots, slices, own, self.groups, outer=cut.pixels_outer)

    @property
    def _parameters(self) -> int:
        """Words of scratchpad size that rows of parameters are: four columns of four words."""
        return 4 * 4 * self.shape.out_blocks * (self.tiles if self.groups > 1 else 1)

    @property
    def _overlaps(self) -> bool:
        """Whether a second block can be LOADed while the array works on the first."""
        bank = self.config.scratchpad_depth
        slots = self.room.source * (bank // max(1, self.source_size))
        return min(slots if self.shape.loads_source else 2, self._weight_slots) > 1


def _parts(total: int, size: int) -> list[tuple[int, int]]:
    """Sizes of the parts of ``total``, each with how often it occurs."""
    whole, rest = divmod(total, size)
    return [(whole, size)] + ([(1, rest)] if rest else [])
