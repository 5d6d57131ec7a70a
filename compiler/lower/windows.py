"""What windows see of a map on chip: words of VECTOR, and loops of STREAM."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

from pulsarray.compiler.ir.window import Window
from pulsarray.compiler.machine.array import Limits
from pulsarray.compiler.machine.loops import Loop
from pulsarray.compiler.machine.views import Area, View, Words
from pulsarray.errors import InputError
from pulsarray.isa import FORMATS, Opcode

__all__ = ["LARGEST_STEP", "Seen", "Tap", "Taps", "seen", "sees", "strided", "taps_of"]

LARGEST_STEP = min(f.high for f in FORMATS[Opcode.STREAM].fields if f.name.startswith("row_step"))
"""Rows or columns at most from one word to the next, where some words are outside of the map."""
Range = tuple[int, int]
Tap = tuple[int, int]
"""An element of a kernel: its row and column."""


def taps_of(window: Window) -> list[Tap]:
    """The elements of a kernel in order."""
    return list(product(range(window.kernel[0]), range(window.kernel[1])))


def sees(window: Window, tap: Tap, outputs: Area, rows: Range, columns: Range) -> Area | None:
    """Those of some outputs that see some rows and columns of the input by a tap; None if none."""
    parts = []
    ranges = (outputs.rows, rows), (outputs.columns, columns)
    for axis, ((first, end), (low, high)) in enumerate(ranges):
        offset = tap[axis] * window.dilation[axis] - window.padding[axis]
        begin = max(first, -((offset - low) // window.stride[axis]))
        parts.append((begin, min(end, (high - 1 - offset) // window.stride[axis] + 1)))
    apart = any(begin >= end for begin, end in parts)
    return None if apart else replace(outputs, rows=parts[0], columns=parts[1])


def strided(window: Window, tap: Tap, outputs: Area, view: View) -> Words:
    """What some outputs see of a map by a tap."""
    (sy, sx), (dy, dx), steps = window.stride, window.dilation, view.steps
    row = outputs.rows[0] * sy - window.padding[0] + tap[0] * dy
    column = outputs.columns[0] * sx - window.padding[1] + tap[1] * dx
    first = view.word(outputs.blocks[0], outputs.images[0], row, column)
    return Words(view.bank, first, (steps[0], steps[1], sy * steps[2], sx * steps[3]))


@dataclass(frozen=True)
class Taps:
    """Ranges of kernel rows, kernel columns, and channel blocks."""

    rows: Range
    columns: Range
    blocks: Range

    @property
    def counts(self) -> tuple[int, int, int]:
        """How many of each."""
        return (
            self.rows[1] - self.rows[0],
            self.columns[1] - self.columns[0],
            self.blocks[1] - self.blocks[0],
        )

    def some(self, low: int, high: int) -> Taps:
        """The same of other channel blocks."""
        return replace(self, blocks=(low, high))


@dataclass(frozen=True)
class Seen:
    """What some taps see for a tile of pixels.

    Parameters
    ----------
    word, limits
        The first word, and the window on what is read; None where no tap is outside the map.
    taps, blocks, pixels
        Loops over elements of the kernel, channel blocks, and the tile's images, rows and columns.
    """

    word: int
    limits: Limits | None
    taps: Sequence[Loop]
    blocks: Loop
    pixels: Sequence[Loop]


def seen(
    window: Window, size: tuple[int, int], pad: int, taps: Taps, tile: Area, view: View
) -> Seen:
    """What taps of a window see of a map of so many rows and columns, ``pad`` outside of it."""
    _, images, rows, columns = tile.counts
    block, image, down, across = view.steps
    (sy, sx), (dy, dx) = window.stride, window.dilation
    row = tile.rows[0] * sy - window.padding[0] + taps.rows[0] * dy
    column = tile.columns[0] * sx - window.padding[1] + taps.columns[0] * dx
    kh, kw, blocks = taps.counts
    last = row + (rows - 1) * sy + (kh - 1) * dy, column + (columns - 1) * sx + (kw - 1) * dx
    cut = int(min(row, column) < 0 or last[0] >= size[0] or last[1] >= size[1])
    dy, dx = dy * (kh > 1), dx * (kw > 1)
    if cut and max(dy, dx, sy * (rows > 1), sx * (columns > 1)) > LARGEST_STEP:
        raise InputError(
            f"a window ({window}) cannot step by more than {LARGEST_STEP} rows or columns where "
            "there is padding"
        )
    return Seen(
        view.word(taps.blocks[0], tile.images[0], row, column),
        Limits(row, column, *size, pad) if cut else None,
        [Loop(kh, dy * down, 0, dy * cut), Loop(kw, dx * across, 0, 0, dx * cut)],
        Loop(blocks, block),
        [
            Loop(images, image, rows * columns),
            Loop(rows, sy * down, columns, sy * cut),
            Loop(columns, sx * across, 1, 0, sx * cut),
        ],
    )
