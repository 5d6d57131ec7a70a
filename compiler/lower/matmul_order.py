"""How products of two maps are cut, and in which order the array makes them.

The zero point of the second map takes the same from all channel blocks of a pixel. Parts with
several blocks, whose sums fit an accumulator bank together, *share* that: the array makes it behind
the sums of the part before last, which were in the same bank, and the vector unit copies it to
where each block is summed up, while the array works on the part between.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from pulsarray.compiler.machine.assemble import ASSUMED_LATENCY
from pulsarray.compiler.machine.views import Area, Stored, balanced, ranges
from pulsarray.config import Config

__all__ = ["AHEAD", "ROUND_TRIP", "Cut", "Matrices", "Part", "Pass", "cut_of", "parts_of"]

AHEAD = 2
"""What a part shares is made behind the sums of the one so many before."""
ROUND_TRIP = 4 * ASSUMED_LATENCY
"""Cycles from the last word of a block's sums until its bias is on chip again."""


@dataclass(frozen=True)
class Cut:
    """How products are cut.

    Parameters
    ----------
    pixels, blocks
        Pixels and channel blocks of a part of the result.
    depth
        Channel blocks of the first map in a pass.
    """

    pixels: int
    depth: int
    blocks: int = 1


@dataclass(frozen=True)
class Matrices:
    """What is multiplied.

    Parameters
    ----------
    first, second, result
        The maps.
    transposed
        Whether rows of the second one are columns of its matrices.
    zeros
        Tiles that take away the zero point of the second one.
    """

    first: Stored
    second: Stored
    result: Stored
    transposed: bool
    zeros: int


@dataclass(frozen=True)
class Pass:
    """Words of the first map, and the tiles that they are multiplied by.

    Parameters
    ----------
    part
        Part of the result that it is for.
    block
        Onto the sums of which of its blocks; their number for what they share.
    source, weights
        Parts of both maps; of the second one maybe the number of a tile of its zero point.
    fresh
        Whether sums begin with it.
    """

    part: int
    block: int
    source: Area
    weights: Area | int
    fresh: bool


@dataclass(frozen=True)
class Part:
    """Part of the result.

    Parameters
    ----------
    target
        Which.
    shared, own
        Passes onto what its blocks share, if they do, and onto sums of blocks.
    """

    target: Area
    shared: Sequence[Pass]
    own: Sequence[Pass]

    @property
    def blocks(self) -> int:
        """Its channel blocks."""
        return self.target.counts[0]


def cut_of(made: Matrices, config: Config) -> Cut:
    """The cut that takes the fewest cycles, of one block a part and of several."""
    cuts, result = [_single(made.first, config)], made.result
    if made.zeros and config.accumulator_banks >= AHEAD:
        most = min(result.blocks, config.parameter_depth)
        several = [_together(made.first, blocks, config) for blocks in range(2, most + 1)]
        cuts += [cut for cut in several if cut.depth and cut.pixels]
    return min(cuts, key=lambda cut: _cycles(made, cut, config.dim))


def _single(first: Stored, config: Config) -> Cut:
    """As many pixels as sums fit a bank, then as much depth as half a bank holds."""
    half, most = config.scratchpad_depth // 2, config.accumulator_depth
    if first.zero_point and first.width >= most > 1:  # Leave a word for what it adds.
        most = balanced(first.width, most - 1)
    pixels = max(1, min(first.width, most, half))
    depth = min(first.blocks, half // max(pixels, config.dim))
    if not depth:
        pixels, depth = max(1, min(pixels, half // 2)), 1
    return Cut(pixels, depth)


def _together(first: Stored, blocks: int, config: Config) -> Cut:
    """As many pixels as sums of so many blocks fit a bank, with what they share."""
    half, words = config.scratchpad_depth // 2, bool(first.zero_point)
    most = min(half // blocks, config.accumulator_depth // (blocks + 1) - words)
    if most < 1:
        return Cut(0, 0)
    pixels = balanced(first.width, most)
    return Cut(pixels, min(first.blocks, half // max(pixels, config.dim)), blocks)


def _cycles(made: Matrices, cut: Cut, dim: int) -> int:
    """Estimated cycles of a matrix: of the array, or where it waits of the vector unit."""
    first, several = made.first, cut.blocks > 1
    parts = -(-first.width // cut.pixels) * -(-made.result.blocks // cut.blocks)
    zeros = made.zeros * (1 if several else cut.blocks)
    busy = first.blocks * max(cut.pixels, dim) * (cut.blocks + zeros)
    words = cut.pixels * cut.blocks * (2 if several else 1)
    waits = words + ROUND_TRIP if first.zero_point and several else words
    return parts * max(busy, waits) + (waits if several else 0)


def parts_of(made: Matrices, cut: Cut, dim: int) -> Iterator[Part]:
    """Every part in order: of each matrix the ranges of pixels, of these the channel blocks."""
    first, zeros = made.first, range(made.zeros)
    shared, apart = (zeros, range(0)) if cut.blocks > 1 else (range(0), zeros)
    targets = replace(first.whole, blocks=(0, made.result.blocks)).cut(cut.blocks, 1, 1, cut.pixels)
    for part, target in enumerate(targets):
        depths = ranges((0, first.blocks), cut.depth)
        sources = [replace(target, blocks=depth) for depth in depths]
        passes = list[Pass]()
        for place, block in enumerate(range(*target.blocks)):
            pairs = [(s, w) for s in sources for w in (_weights(made, block, s, dim), *apart)]
            passes += _onto(part, place, pairs, fresh=not shared)
        pairs = [(source, zero) for source in sources for zero in shared]
        yield Part(target, _onto(part, target.counts[0], pairs, fresh=True), passes)


def _onto(
    part: int, block: int, pairs: Sequence[tuple[Area, Area | int]], *, fresh: bool
) -> list[Pass]:
    """Passes of words and weights onto the same sums."""
    return [Pass(part, block, *pair, fresh and not place) for place, pair in enumerate(pairs)]


def _weights(made: Matrices, block: int, source: Area, dim: int) -> Area:
    """Channel blocks and columns of the second map that make a block from some depth."""
    low, high = (block, block + 1) if made.transposed else source.blocks
    columns = low * dim, min(made.second.width, high * dim)
    blocks = source.blocks if made.transposed else (block, block + 1)
    return Area(blocks, source.images, source.rows, columns)
