"""Tiles of operators that are no convolution: as much of a map at a time as fits."""

from __future__ import annotations

from itertools import product

from pulsarray.compiler.ir.window import Window
from pulsarray.compiler.maps.convolution_tiles import input_range
from pulsarray.compiler.maps.views import Area, Stored
from pulsarray.errors import InputError

__all__ = ["source_area", "tiles_of_map"]


def source_area(window: Window, tile: Area, source: Stored) -> Area:
    """What a tile of the result looks at, in the same channel blocks."""
    return Area(
        tile.blocks,
        tile.images,
        input_range(window, 0, *tile.rows, source.height),
        input_range(window, 1, *tile.columns, source.width),
    )


def tiles_of_map(
    result: Stored,
    source: Stored,
    window: Window,
    most: int,
    bank: int,
    where: str,
    *,
    blocks_at_most: int | None = None,
) -> list[Area]:
    """Tiles of at most ``most`` words that look at no more than ``bank`` words.

    ``blocks_at_most`` are the channel blocks whose constants are there at a time; None without.

    Raises
    ------
    InputError
        If not even one word fits.
    """

    def fits(blocks: int, images: int, rows: int, columns: int) -> bool:
        if blocks * images * rows * columns > most:
            return False
        area = source_area(window, Area((0, blocks), (0, images), (0, rows), (0, columns)), source)
        # In the middle of the map a tile looks at more rows than at its border.
        reach = [(k - 1) * d + 1 for k, d in zip(window.kernel, window.dilation, strict=True)]
        seen = [
            min(size, (count - 1) * stride + extent)
            for size, count, stride, extent in zip(
                (source.height, source.width), (rows, columns), window.stride, reach, strict=True
            )
        ]
        return area.counts[0] * images * seen[0] * seen[1] <= bank

    height, width = result.height, result.width
    images = next((n for n in range(result.images, 0, -1) if fits(1, n, height, width)), 0)
    rows, columns = height, width
    if not images:
        images = 1
        rows = next((n for n in range(height, 0, -1) if fits(1, 1, n, width)), 0)
    if not rows:
        rows = 1
        columns = next((n for n in range(width, 0, -1) if fits(1, 1, 1, n)), 0)
    if not columns:
        raise InputError(f"{where}: a window of {window.kernel} does not fit a bank")
    together = min(result.blocks, blocks_at_most or result.blocks)
    blocks = next(n for n in range(together, 0, -1) if fits(n, images, rows, columns))
    ranges = [
        [(low, min(total, low + size)) for low in range(0, total, size)]
        for total, size in (
            (result.images, images),
            (height, rows),
            (width, columns),
            (result.blocks, blocks),
        )
    ]
    return [Area(b, i, r, c) for i, r, c, b in product(*ranges)]
