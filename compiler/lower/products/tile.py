"""How a product is cut: tiles of rows, columns and depth, how it starts, and how it ends."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from math import ceil

from pulsarray.compiler.lower.cost import repeats
from pulsarray.compiler.machine.assemble import ASSUMED_LATENCY
from pulsarray.compiler.machine.views import balanced, ranges
from pulsarray.config import Config

__all__ = [
    "Cut",
    "OutputTile",
    "Shape",
    "Tiling",
    "cut_of",
    "depth_tiles",
    "feed",
    "output_tiles",
    "tilings",
]


@dataclass(frozen=True)
class Shape:
    """A product in the machine's units.

    Parameters
    ----------
    m, k, n
        M x K times K x N.
    columns
        Column blocks of the result, ceil(N / D).
    height
        Rows of the weights in one pass: D, or 1 where a bank is too shallow for D rows.
    units
        Passes over the depth, ceil(K / height).
    per_block
        Passes for each column block of the source: 1, or D where ``height`` is 1.
    """

    m: int
    k: int
    n: int
    columns: int
    height: int
    units: int
    per_block: int

    @classmethod
    def of(cls, m: int, k: int, n: int, config: Config) -> Shape:
        """The shape of M x K times K x N on a machine."""
        dim = config.dim
        height = dim if dim <= config.scratchpad_depth else 1
        return cls(m, k, n, -(-n // dim), height, -(-k // height), dim // height)

    def source_blocks(self, low: int, high: int) -> tuple[int, int]:
        """Column blocks of the source that units ``low .. high-1`` need, as a range."""
        return low // self.per_block, -(-high // self.per_block)


@dataclass(frozen=True)
class Tiling:
    """One way to cut a product.

    Parameters
    ----------
    rows, columns, depth
        Rows, column blocks and units of depth of a tile.
    rows_outer
        Whether the loop over rows is outside the loop over columns.
    feed_first, feed_growth, feed_most, taper
        Units of the first piece that is loaded and used, the ratio from each piece to the next,
        the most units of a piece (0: any), and the ratio by which the last pieces shrink to
        ``feed_first`` again (up to 1: they do not). ``feed_first`` 0: steps are whole.
    feed_all
        Whether every pass over the depth is cut so, or only the first.
    head
        Rows of the chunks in which the very first unit is streamed; 0: whole.
    tail
        Rows of the last output tile; 0: it is not cut.
    halve
        Whether the columns before it are cut in halves again and again, or taken at once.
    chunk
        Most words that leave the last column block at a time; 0: any number.
    source_banks
        Banks for the streamed operand; the others hold weights.
    """

    rows: int
    columns: int
    depth: int
    rows_outer: bool = True
    feed_first: int = 0
    feed_growth: float = 2.0
    feed_most: int = 0
    taper: float = 0.0
    feed_all: bool = False
    head: int = 0
    tail: int = 0
    halve: bool = False
    chunk: int = 0
    source_banks: int = 1


@dataclass(frozen=True)
class OutputTile:
    """Rows and column blocks that are summed up together.

    Parameters
    ----------
    row_block, rows
        Number of the block of rows of the tiling that it is part of, and its own rows.
    column_block, columns
        The same for column blocks.
    chunk
        Most words that leave it at a time; 0: any number.
    """

    row_block: int
    rows: tuple[int, int]
    column_block: int
    columns: tuple[int, int]
    chunk: int = 0

    @property
    def height(self) -> int:
        """Rows."""
        return self.rows[1] - self.rows[0]

    @property
    def width(self) -> int:
        """Column blocks."""
        return self.columns[1] - self.columns[0]


@dataclass(frozen=True)
class Cut:
    """What a tiling makes of a product: tilings with equal cuts give equal instructions.

    Parameters
    ----------
    rows, columns, source_banks, feed_all, head
        As of the tiling; the last two are false and 0 where they change nothing.
    tiles
        Every output tile in order.
    depths
        Ranges of units of the steps of a tile.
    pieces
        Where the first pass over the depth is cut, from 0 to its end.
    """

    rows: int
    columns: int
    source_banks: int
    tiles: tuple[OutputTile, ...]
    depths: tuple[tuple[int, int], ...]
    pieces: tuple[int, ...]
    feed_all: bool
    head: int


@lru_cache(4096)
def cut_of(shape: Shape, tiling: Tiling) -> Cut:
    """Cut a product."""
    tiles, depths, pieces = (
        output_tiles(shape, tiling),
        depth_tiles(shape, tiling),
        feed(shape.units, tiling),
    )
    height = tiles[0].height
    return Cut(
        tiling.rows,
        tiling.columns,
        tiling.source_banks,
        tuple(tiles),
        tuple(depths),
        tuple(pieces),
        feed_all=tiling.feed_all and len(tiles) > 1 and len(pieces) > 2,
        head=min(tiling.head, height) if min(pieces[1], depths[0][1]) == 1 else 0,
    )


def feed(units: int, tiling: Tiling) -> list[int]:
    """Where a layer's first pass over the depth is cut into pieces, from 0 to ``units``."""
    first = tiling.feed_first
    if not first:
        return [0, units]
    most = tiling.feed_most or units
    ends: list[int] = []
    if tiling.taper > 1.0:
        size = float(first)
        while sum(ends) + ceil(size) <= units // 2 and size < most:
            ends.append(ceil(size))
            size *= tiling.taper
    cuts, low, high, size = [0], 0, units - sum(ends), float(first)
    while low < high:
        # The second piece is no larger than the first: the array is still waiting for data.
        size = min(size * tiling.feed_growth, most) if len(cuts) > 2 else size
        low = min(high, low + ceil(size))
        cuts.append(low)
    for end in reversed(ends):
        cuts.append(cuts[-1] + end)
    return cuts


def output_tiles(shape: Shape, tiling: Tiling) -> list[OutputTile]:
    """Every output tile in order, the last one cut as the tiling says."""
    rows = ranges((0, shape.m), tiling.rows)
    columns = ranges((0, shape.columns), tiling.columns)
    row_major = [(i, j) for i in range(len(rows)) for j in range(len(columns))]
    column_major = [(i, j) for j in range(len(columns)) for i in range(len(rows))]
    order = row_major if tiling.rows_outer else column_major
    tiles = [OutputTile(i, rows[i], j, columns[j]) for i, j in order]
    if tiling.tail:
        return tiles[:-1] + list(_cut(tiles[-1], tiling))
    return [*tiles[:-1], _in_chunks(tiles[-1], tiling.chunk)]


def depth_tiles(shape: Shape, tiling: Tiling) -> list[tuple[int, int]]:
    """Ranges of units, each inside one column block of the source where it has several units."""
    if shape.per_block == 1:
        return ranges((0, shape.units), tiling.depth)
    return [
        part
        for block in ranges((0, shape.units), shape.per_block)
        for part in ranges(block, tiling.depth)
    ]


def _cut(tile: OutputTile, tiling: Tiling) -> Iterator[OutputTile]:
    low, high = tile.columns
    while high - low > 1:
        middle = (low + high + 1) // 2 if tiling.halve else high - 1
        yield replace(tile, columns=(low, middle))
        low = middle
    top, bottom = tile.rows
    if bottom - top > tiling.tail:
        middle = bottom - tiling.tail
        yield _in_chunks(replace(tile, rows=(top, middle), columns=(low, high)), tiling.chunk)
        top = middle
    yield _in_chunks(replace(tile, rows=(top, bottom), columns=(low, high)), tiling.chunk)


def _in_chunks(tile: OutputTile, chunk: int) -> OutputTile:
    """A tile that leaves in chunks, if it has more words than one."""
    return replace(tile, chunk=chunk) if chunk < tile.height * tile.width else tile


def tilings(
    shape: Shape, config: Config, free_banks: int, loads_source: bool, usual: int = 0
) -> list[Tiling]:
    """Tilings that fit, the most promising first.

    Parameters
    ----------
    shape
        The product.
    config
        The machine.
    free_banks
        Scratchpad banks for source and weights together.
    loads_source
        Whether the source comes from memory.
    usual
        Banks for what other operators of the network stream: of equals this comes first, since
        LOAD runs ahead into banks that are shared in the same way. 0 without others.
    """
    fitting = {}
    for columns in _sizes(min(shape.columns, config.accumulator_depth)):
        most = min(shape.m, config.accumulator_depth // columns, config.scratchpad_depth)
        for height in _heights(shape.m, most, config.dim):
            for depth in _depths(shape, config, height, columns, loads_source):
                for banks in _source_banks(free_banks, loads_source, usual):
                    for outer in (True, False):
                        tiling = Tiling(height, columns, depth, outer, source_banks=banks)
                        fitting[tiling] = _cost(shape, config, tiling, free_banks, loads_source)
    return sorted(fitting, key=fitting.__getitem__)


def _heights(total: int, most: int, dim: int) -> list[int]:
    """Rows of a tile: equal ones, or large ones that leave one or two passes of D rows at last."""
    rows = balanced(total, most)
    uneven = (total - k * dim for k in (1, 2))
    heights = {rows, balanced(total, rows // 2 or 1), min(rows, dim), *uneven}
    return sorted(height for height in heights if 1 <= height <= most)


def _sizes(most: int) -> list[int]:
    return sorted({balanced(most, most >> k) for k in range(most.bit_length())})


def _source_banks(free_banks: int, loads_source: bool, usual: int) -> list[int]:
    if not loads_source:
        return [1]
    banks = {usual, 1, free_banks // 3, free_banks // 2, free_banks - 1} - {0}
    return sorted(banks, key=lambda count: (count != usual, count))


def _depths(shape: Shape, config: Config, rows: int, columns: int, loads_source: bool) -> set[int]:
    words = columns * shape.height
    if words > config.scratchpad_depth:
        return set()
    most = config.scratchpad_depth // max(words, rows if loads_source else 1)
    if shape.per_block > 1:
        # A step stays in one column block of the source, and its rows in one bank.
        return {min(shape.units, config.scratchpad_depth // columns, shape.per_block)}
    return {balanced(shape.units, share) for s in (1, 2, 4) if (share := most // s)}


def _waiting(words: int, config: Config) -> float:
    """Cycles for each beat of bursts of so many words: latency that other bursts do not hide."""
    beats = min(words * config.beats_per_word, config.burst_beats)
    return max(1.0, (ASSUMED_LATENCY + beats) / (config.outstanding * beats))


def _cost(
    shape: Shape, config: Config, tiling: Tiling, free_banks: int, loads_source: bool
) -> tuple[float, float]:
    """Estimated cycles, then instructions: only to decide what the timing model looks at first."""
    row_tiles, column_tiles = -(-shape.m // tiling.rows), -(-shape.columns // tiling.columns)
    depth_tiles = -(-shape.units // tiling.depth)
    whole, rest = divmod(shape.m, tiling.rows)
    passes = whole * max(tiling.rows, config.dim) + (max(rest, config.dim) if rest else 0)
    compute = passes * shape.units * shape.columns
    source_slots = tiling.source_banks * (config.scratchpad_depth // (tiling.rows * tiling.depth))
    weight_words = tiling.columns * tiling.depth * shape.height
    weight_slots = (free_banks - tiling.source_banks) * (config.scratchpad_depth // weight_words)
    own, others, outer = depth_tiles * column_tiles, row_tiles, not tiling.rows_outer
    loads = repeats(weight_slots, depth_tiles, own, others, outer=outer)
    words = loads * shape.columns * shape.k
    if loads_source:
        own, others = depth_tiles * row_tiles, column_tiles
        loads = repeats(source_slots, depth_tiles, own, others, outer=not outer)
        words += loads * shape.m * -(-shape.k // config.dim)
    run = shape.k * tiling.columns if depth_tiles == 1 else tiling.depth * shape.height
    transfer = words * config.beats_per_word * _waiting(run, config)
    steps = row_tiles * column_tiles * depth_tiles
    serial = 0 if min(source_slots, weight_slots) > 1 or steps == 1 else min(compute, transfer)
    # A step has a LOAD, a WEIGHT and a STREAM to fetch; what leaves has a VECTOR and a STORE, which
    # weighs as much: ResNet-50's last layer takes 1,349 cycles less than without this term.
    outputs = row_tiles * column_tiles
    return max(compute, transfer) + serial + 16.0 * (steps + outputs), float(steps)
