"""The product for the source's gradient: dX = dY W^T."""

from __future__ import annotations

from collections.abc import Iterator

from pulsarray.compiler.lower.windows import Taps
from pulsarray.compiler.machine.array import Limits, Onto
from pulsarray.compiler.machine.loops import Loop
from pulsarray.compiler.machine.views import Area
from pulsarray.compiler.training.lower.geometry import Geometry
from pulsarray.compiler.training.lower.maps import FeatureMap
from pulsarray.compiler.training.lower.pieces import Pieces
from pulsarray.compiler.training.lower.products.stream import Streams
from pulsarray.isa import StreamFlag

__all__ = ["InputGradient"]

_KEEP = int(StreamFlag.KEEP)


class InputGradient(Streams):
    """Emits the gradient at a layer's source, before it is rounded."""

    def emit(
        self,
        geometry: Geometry,
        delta: FeatureMap,
        pieces: Pieces,
        tile: Area,
        bank: int,
    ) -> None:
        """The gradient of a tile of the source, its channel blocks one after the other."""
        pixels = tile.pixels
        plain = geometry.linear or geometry.whole
        if not plain:
            self._clear(delta, tile, bank)
        for column in range(delta.cuts()[-1]):
            for part in pieces.ranges:
                for some in _together(geometry, geometry.of(part), tile, one=not plain):
                    base = (some.blocks[0] - tile.blocks[0]) * pixels
                    onto = Onto(bank, base, base + pixels * some.counts[2])
                    place = column, part
                    fresh = plain and not column
                    self._spread(geometry, delta, pieces, place, some, tile, onto, fresh=fresh)

    def piece(
        self,
        geometry: Geometry,
        delta: FeatureMap,
        pieces: Pieces,
        place: tuple[int, tuple[int, int]],
        bank: int,
    ) -> None:
        """What a piece of weights gives of the gradient of vectors: a block of each of its rows."""
        column, part = place
        onto, taps = Onto(bank, 0, (part[1] - part[0]) * delta.images), geometry.of(part)
        self._spread(geometry, delta, pieces, place, taps, delta.whole(), onto, fresh=not column)

    def _clear(self, delta: FeatureMap, tile: Area, bank: int) -> None:
        """Sums become zero: words outside a window are zero, whatever the weights."""
        segment = self.rows.get(delta.of(tile.of(0)))
        read, how = self.read(segment, 0, 1), {"limits": Limits(-1, 0, 1, 1), "flags": _KEEP}
        onto, inner = Onto(bank, 0, tile.words), [Loop(tile.words, 0, 1)]
        self.stream(read, segment.base(0), onto, [], inner, fresh=True, **how)

    def _spread(
        self,
        geometry: Geometry,
        delta: FeatureMap,
        pieces: Pieces,
        place: tuple[int, tuple[int, int]],
        taps: Taps,
        tile: Area,
        onto: Onto,
        *,
        fresh: bool,
    ) -> None:
        """A column block of the error against some taps, onto shifted sums."""
        column, part = place
        piece = self.weights.get(pieces.piece(column, part))
        window, width = geometry.window, geometry.given[1]
        (down, right), (dy, dx), (top, left, _, _) = window.stride, window.dilation, window.padding
        across = geometry.result[1]
        kernel = taps.rows[0] * dy, (taps.rows[1] - 1) * dy
        (top_row, bottom), (rows, _) = tile.rows, geometry.result[:2]
        low = max(0, -(-(top_row + top - kernel[1]) // down))
        high = min(rows, (bottom - 1 + top - kernel[0]) // down + 1)
        if low >= high:
            return
        self.tiles(geometry, piece, part, taps, turned=True)
        segment = self.rows.get(delta.of(tile.of(column)))
        row = low * down - top + kernel[0] - top_row
        first = taps.columns[0] * dx - left
        kh, kw, blocks = taps.counts
        _, images, height, _ = tile.counts
        last_row = row + (high - low - 1) * down + kernel[1] - kernel[0]
        last = first + (across - 1) * right + (kw - 1) * dx
        cut = row < 0 or first < 0 or last_row >= height or last >= width
        outer = [
            Loop(kh, 0, dy * width, dy * cut),
            Loop(kw, 0, dx, 0, dx * cut),
            Loop(blocks, 0, tile.pixels),
        ]
        inner = [
            Loop(images, rows * across, height * width),
            Loop(high - low, across, down * width, down * cut),
            Loop(across, 1, right, 0, right * cut),
        ]
        read, source = (
            self.read(segment, column, column + 1),
            delta.word(tile.images[0], column, low),
        )
        # Where nothing was cleared, every sum is written once by the first column block.
        self.stream(
            read, source, onto, outer, inner, fresh=fresh,
            target=onto.first + row * width + first,
            limits=Limits(row, first, height, width, writes=True) if cut else None,
        )  # fmt: skip


def _together(geometry: Geometry, taps: Taps, tile: Area, *, one: bool) -> Iterator[Taps]:
    """The same taps with all of some channel blocks, or one block at a time."""
    low, high = max(taps.blocks[0], tile.blocks[0]), min(taps.blocks[1], tile.blocks[1])
    several = taps.counts[0] * taps.counts[1] > 1
    if one or (several and high - low < geometry.blocks):
        yield from (taps.some(block, block + 1) for block in range(low, high))
    elif low < high:
        yield taps.some(low, high)
