"""How a convolution is cut: pixels, channel blocks, depth and taps of a step, and their order."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import product

from pulsarray.compiler.ir.window import Window
from pulsarray.compiler.lower.cost import estimate
from pulsarray.compiler.lower.cuts import ConvolutionShape, Cut, Room, source_words
from pulsarray.compiler.lower.windows import LARGEST_STEP
from pulsarray.config import Config
from pulsarray.errors import InputError

__all__ = ["choose", "input_range"]

_COARSE = 16
"""Of how many sizes one is looked at where the largest tiles do not fit."""


def input_range(window: Window, axis: int, low: int, high: int, size: int) -> tuple[int, int]:
    """Input rows (axis 0) or columns that output ``low .. high-1`` look at; at least one."""
    stride, top = window.stride[axis], window.padding[axis]
    first = min(max(0, low * stride - top), size - 1)
    end = min(size, low * stride - top + window.span(axis, high - low))
    return first, max(first + 1, end)


def choose(shape: ConvolutionShape, config: Config, room: Room, where: str) -> Cut:
    """The cut with the fewest estimated cycles.

    Raises
    ------
    InputError
        If none fits the machine.
    """
    best = _best(shape, config, room)
    if best is None:
        raise InputError(
            f"{where}: no tile of {shape.window.kernel} over {shape.out_width} columns fits banks "
            f"of {config.scratchpad_depth} words; use a larger scratchpad_depth"
        )
    return best


@lru_cache(1024)
def _best(shape: ConvolutionShape, config: Config, room: Room) -> Cut | None:
    """The fastest of cuts into the largest tiles; of smaller ones only where none of these fits."""
    for step in (1, _COARSE):
        best = min(
            _cuts(shape, config, room, step),
            key=lambda cut: estimate(shape, config, room, cut),
            default=None,
        )
        if best is not None:
            return best
    return None


def _sizes(total: int, most: int) -> list[int]:
    """Sizes up to ``most`` that cut ``total`` into about equal parts, largest first."""
    if most < 1:
        return []
    parts = range(-(-total // min(total, most)), total + 1)
    return sorted({-(-total // count) for count in parts}, reverse=True)


def _pixel_cuts(
    shape: ConvolutionShape, config: Config, step: int
) -> Iterator[tuple[int, int, int]]:
    """Images, rows and columns that one accumulator bank holds; of their sizes every so-many-th."""
    most, size = config.accumulator_depth, shape.out_height * shape.out_width
    if shape.images > 1 and size <= most:
        for images in _sizes(shape.images, most // size)[:4]:
            yield images, shape.out_height, shape.out_width
    for rows in _sizes(shape.out_height, most // shape.out_width)[: 24 * step : step]:
        yield 1, rows, shape.out_width
    for columns in _sizes(shape.out_width, min(most, shape.out_width))[: 24 * step : step]:
        if columns < shape.out_width:
            for rows in {1, max(1, min(shape.out_height, most // columns))}:
                yield 1, rows, columns


def _cuts(shape: ConvolutionShape, config: Config, room: Room, step: int) -> Iterator[Cut]:
    bank, kernel = config.scratchpad_depth, shape.window.kernel
    for images, rows, columns in _pixel_cuts(shape, config, step):
        pixels = images * rows * columns
        block_words = source_words(shape, images, rows, columns)
        depth = shape.depth
        if shape.loads_source:
            depth = min(depth, bank // block_words)
        slots = bank if room.result else config.accumulator_depth
        most = min(config.accumulator_depth // pixels, max(1, config.parameter_depth // 2))
        most = min(most, slots // pixels) if shape.stores_result else most
        apart = shape.window.dilation[0] > LARGEST_STEP
        for taps in range(1 if apart else kernel[0], 0, -1):
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
