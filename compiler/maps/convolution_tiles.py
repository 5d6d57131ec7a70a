"""How a convolution is cut: pixels, channel blocks, depth and taps of a step, and their order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from pulsarray.compiler.ir.window import Window
from pulsarray.compiler.maps.views import Area
from pulsarray.config import Config
from pulsarray.errors import InputError

__all__ = ["ConvolutionShape", "Cut", "Room", "choose", "input_range", "pixel_tiles"]

_STEP = 24
"""Estimated cycles that a step costs besides its words: it keeps tiles from becoming tiny."""
_LATENCY = 200
"""Estimated cycles from wanting a layer's first words to its first sums."""


@dataclass(frozen=True)
class ConvolutionShape:
    """A convolution in the machine's units.

    Parameters
    ----------
    images, height, width
        The input map.
    out_height, out_width, out_blocks
        The result.
    depth
        Channel blocks of the input that one block of the result sees.
    window
        Kernel, stride, padding, dilation.
    shares_depth
        Whether all blocks of the result see the same blocks of the input.
    loads_source, stores_result
        Whether input and result are in memory.
    loads_second
        Whether a second operand of the result's shape comes from memory.
    vector_words
        Words that the vector unit issues for one word of the result.
    """

    images: int
    height: int
    width: int
    out_height: int
    out_width: int
    out_blocks: int
    depth: int
    window: Window
    shares_depth: bool
    loads_source: bool
    stores_result: bool
    loads_second: bool = False
    vector_words: int = 1


@dataclass(frozen=True)
class Room:
    """Banks for source, weights, second operands and results of one layer."""

    source: int
    weight: int
    second: int
    result: int


@dataclass(frozen=True)
class Cut:
    """One way to cut a convolution.

    Parameters
    ----------
    images, rows, columns
        Pixels of an output tile: several images whole, or part of one.
    blocks
        Channel blocks of the result in a tile.
    depth, taps
        Channel blocks of the input, and kernel rows, of one step.
    pixels_outer
        Whether the loop over pixels is outside the loop over channel blocks of the result.
    """

    images: int
    rows: int
    columns: int
    blocks: int
    depth: int
    taps: int
    pixels_outer: bool

    @property
    def pixels(self) -> int:
        """Words of a channel block."""
        return self.images * self.rows * self.columns


def input_range(window: Window, axis: int, low: int, high: int, size: int) -> tuple[int, int]:
    """Input rows (axis 0) or columns that output ``low .. high-1`` look at; at least one."""
    stride, top = window.stride[axis], window.padding[axis]
    reach = (window.kernel[axis] - 1) * window.dilation[axis]
    first = min(max(0, low * stride - top), size - 1)
    last = min(size - 1, (high - 1) * stride - top + reach)
    return first, max(first, last) + 1


def pixel_tiles(shape: ConvolutionShape, cut: Cut) -> list[Area]:
    """Output tiles of one channel block, in order."""
    tiles = []
    for image in range(0, shape.images, cut.images):
        for row, column in product(
            range(0, shape.out_height, cut.rows), range(0, shape.out_width, cut.columns)
        ):
            tiles.append(
                Area(
                    (0, 1),
                    (image, min(shape.images, image + cut.images)),
                    (row, min(shape.out_height, row + cut.rows)),
                    (column, min(shape.out_width, column + cut.columns)),
                )
            )
    return tiles


def choose(shape: ConvolutionShape, config: Config, room: Room, where: str) -> Cut:
    """The cut with the fewest estimated cycles.

    Raises
    ------
    InputError
        If none fits the machine.
    """
    best = min(
        ((_cost(shape, config, room, cut), number, cut)
         for number, cut in enumerate(_cuts(shape, config, room))),
        default=None,
    )  # fmt: skip
    if best is None:
        raise InputError(
            f"{where}: no tile of {shape.window.kernel} over {shape.out_width} columns fits banks "
            f"of {config.scratchpad_depth} words; use a larger scratchpad_depth"
        )
    return best[2]


def _sizes(total: int, most: int) -> list[int]:
    """Sizes up to ``most`` that cut ``total`` into about equal parts, largest first."""
    if most < 1:
        return []
    parts = range(-(-total // min(total, most)), total + 1)
    return sorted({-(-total // count) for count in parts}, reverse=True)


def _pixel_cuts(shape: ConvolutionShape, config: Config) -> Iterator[tuple[int, int, int]]:
    """Images, rows and columns that one accumulator bank holds."""
    most, size = config.accumulator_depth, shape.out_height * shape.out_width
    if shape.images > 1 and size <= most:
        for images in _sizes(shape.images, most // size)[:4]:
            yield images, shape.out_height, shape.out_width
    for rows in _sizes(shape.out_height, most // shape.out_width)[:24]:
        yield 1, rows, shape.out_width
    for columns in _sizes(shape.out_width, min(most, shape.out_width))[:24]:
        if columns < shape.out_width:
            for rows in {1, max(1, min(shape.out_height, most // columns))}:
                yield 1, rows, columns


def _cuts(shape: ConvolutionShape, config: Config, room: Room) -> Iterator[Cut]:
    bank, kernel = config.scratchpad_depth, shape.window.kernel
    for images, rows, columns in _pixel_cuts(shape, config):
        pixels = images * rows * columns
        block_words = _source_words(shape, images, rows, columns)
        depth = shape.depth
        if shape.loads_source:
            depth = min(depth, bank // block_words)
        slots = bank if room.result else config.accumulator_depth
        most = min(config.accumulator_depth // pixels, max(1, config.parameter_depth // 2))
        most = min(most, slots // pixels) if shape.stores_result else most
        for taps in range(kernel[0], 0, -1):
            tile_words = taps * kernel[1] * config.dim
            deepest = min(depth, bank // tile_words)
            if deepest < 1:
                continue
            depths = {d for part in (1, 2, 4) for d in _sizes(shape.depth, deepest // part)[:1]}
            for blocks, d in product(_block_sizes(shape.out_blocks, most), depths):
                for outer in (True, False):
                    yield Cut(images, rows, columns, blocks, d, taps, outer)
            break


def _block_sizes(total: int, most: int) -> list[int]:
    sizes = _sizes(total, most)
    return sorted({*sizes[:3], *(size for size in sizes if size in (1, 2, 4))}, reverse=True)


def _source_words(shape: ConvolutionShape, images: int, rows: int, columns: int) -> int:
    """Words of one channel block that a tile inside the map looks at."""
    window, sizes = shape.window, []
    for axis, (count, size) in enumerate(((rows, shape.height), (columns, shape.width))):
        reach = (window.kernel[axis] - 1) * window.dilation[axis]
        sizes.append(min(size, (count - 1) * window.stride[axis] + reach + 1))
    return images * sizes[0] * sizes[1]


def _cost(shape: ConvolutionShape, config: Config, room: Room, cut: Cut) -> float:
    """Estimated cycles."""
    bank, dim = config.scratchpad_depth, config.dim
    taps = shape.window.kernel[0] * shape.window.kernel[1]
    tiles = [
        -(-shape.images // cut.images),
        -(-shape.out_height // cut.rows),
        -(-shape.out_width // cut.columns),
    ]
    pixel_tiles = tiles[0] * tiles[1] * tiles[2]
    groups = -(-shape.out_blocks // cut.blocks)
    slices = -(-shape.depth // cut.depth) * -(-shape.window.kernel[0] // cut.taps)
    passes = taps * shape.depth * shape.out_blocks
    sizes = product(
        _cut_sizes(shape.images, cut.images),
        _cut_sizes(shape.out_height, cut.rows),
        _cut_sizes(shape.out_width, cut.columns),
    )
    compute = passes * sum(
        i * r * c * max(images * rows * columns, dim)
        for (i, images), (r, rows), (c, columns) in sizes
    )
    beats = config.beats_per_word
    block_words = _source_words(shape, cut.images, cut.rows, cut.columns)
    source_size = block_words * cut.depth
    weight_size = cut.taps * shape.window.kernel[1] * cut.depth * dim
    weight_keys = slices * shape.out_blocks
    weight_slots = room.weight * (bank // weight_size)
    all_weights = taps * shape.depth * dim * shape.out_blocks
    loads = 0
    if cut.pixels_outer:
        loads += all_weights * (1 if weight_slots >= weight_keys else pixel_tiles)
    else:
        held = weight_slots >= min(weight_keys, slices * cut.blocks)
        loads += all_weights * (1 if held else pixel_tiles)
    if shape.loads_source:
        slots = room.source * (bank // source_size) if source_size <= bank else 0
        depth_slices = -(-shape.depth // cut.depth)
        once = block_words * shape.depth * pixel_tiles
        if not shape.shares_depth:
            loads += block_words * pixel_tiles * shape.out_blocks * shape.depth
        elif cut.pixels_outer:
            loads += once * (1 if slots > depth_slices or groups == 1 else groups)
        else:
            loads += once * (1 if slots >= depth_slices * pixel_tiles else groups)
    outputs = shape.images * shape.out_height * shape.out_width * shape.out_blocks
    loads += outputs if shape.loads_second else 0
    parameters = 4 * 4 * shape.out_blocks * (pixel_tiles if groups > 1 else 1)
    stores = outputs * beats if shape.stores_result else 0
    vector = outputs * shape.vector_words
    transfer = (loads + parameters) * beats
    source_slots = 2 if not shape.loads_source else room.source * (bank // max(1, source_size))
    serial = 0 if min(source_slots, weight_slots) > 1 else min(compute, transfer)
    start = _LATENCY + (source_size if shape.loads_source else 0) * beats
    tail = cut.pixels * cut.blocks * (shape.vector_words + (beats if shape.stores_result else 0))
    steps = pixel_tiles * shape.out_blocks * slices
    work = max(compute + steps * 2, transfer, stores, vector)
    return work + serial + start + tail + steps * _STEP / 8 + pixel_tiles * groups * _STEP


def _cut_sizes(total: int, size: int) -> list[tuple[int, int]]:
    """Sizes of the parts of ``total``, each with how often it occurs."""
    whole, rest = divmod(total, size)
    return [(whole, size)] + ([(1, rest)] if rest else [])
