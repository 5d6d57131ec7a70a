"""Tiles of operators that are no convolution: as much of a map at a time as fits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pulsarray.compiler.ir.window import Window
from pulsarray.compiler.lower.cutting import input_range
from pulsarray.compiler.machine.views import Area, Stored
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
    fits = _Fit(window, source, most, bank)
    images, rows, columns = _pixels(result, fits)
    if not columns:
        raise InputError(f"{where}: a window of {window.kernel} does not fit a bank")
    together = min(result.blocks, blocks_at_most or result.blocks)
    blocks = fits.largest(together, lambda n: (n, images, rows, columns))
    return list(result.whole.cut(blocks, images, rows, columns))


def _pixels(result: Stored, fits: _Fit) -> tuple[int, int, int]:
    """Images whole, else rows whole, else columns of a tile; 0 columns if not even one fits."""
    height, width = result.height, result.width
    if images := fits.largest(result.images, lambda n: (1, n, height, width)):
        return images, height, width
    if rows := fits.largest(height, lambda n: (1, 1, n, width)):
        return 1, rows, width
    return 1, 1, fits.largest(width, lambda n: (1, 1, 1, n))


@dataclass(frozen=True)
class _Fit:
    """What tiles of a result may be.

    Parameters
    ----------
    window, source
        What they look at of the input.
    most, bank
        Words of a tile, and those of the input that it looks at.
    """

    window: Window
    source: Stored
    most: int
    bank: int

    def largest(self, most: int, tile: Callable[[int], tuple[int, int, int, int]]) -> int:
        """The largest number up to ``most`` whose tile fits; 0 if none does."""
        return next((n for n in range(most, 0, -1) if self(*tile(n))), 0)

    def __call__(self, blocks: int, images: int, rows: int, columns: int) -> bool:
        if blocks * images * rows * columns > self.most:
            return False
        return blocks * images * self._seen(0, rows) * self._seen(1, columns) <= self.bank

    def _seen(self, axis: int, count: int) -> int:
        """Rows or columns of the input that a tile sees in the middle, where it sees the most."""
        size = (self.source.height, self.source.width)[axis]
        return min(size, self.window.span(axis, count))
