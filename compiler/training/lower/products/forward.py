"""The forward product: Y = X W."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pulsarray.compiler.machine.loops import Loop
from pulsarray.compiler.training.lower.geometry import Geometry, Taps, fits, loops
from pulsarray.compiler.training.lower.maps import FeatureMap, Segment, Tile
from pulsarray.compiler.training.lower.pieces import Pieces
from pulsarray.compiler.training.lower.products.stream import ACCUMULATE, Limits, Streams
from pulsarray.isa import StreamFlag

__all__ = ["ForwardProduct"]


class ForwardProduct(Streams):
    """Emits the sums of a layer; what happens to them is for others to say."""

    def emit(
        self,
        geometry: Geometry,
        x: FeatureMap,
        pieces: Pieces,
        tile: Tile,
        columns: range,
        bank: int,
        busy: Sequence[int],
    ) -> None:
        """Sums of an output tile: for each column block its pixels, one block after the other.

        The source had better not be loaded to a bank that is ``busy``.
        """
        pixels = tile.count
        for number, column in enumerate(columns):
            sums, flags = (bank, number * pixels, (number + 1) * pixels), 0
            for part in pieces.ranges:
                piece = self.weights.get(pieces.piece(column, part))
                for taps in self._split(geometry, geometry.of(part), x, tile):
                    self.tiles(geometry, piece, part, taps, turned=False)
                    segment = self.rows.get(x.at(tile.low, taps.blocks[0]), avoid=busy)
                    self._seen(geometry, x, segment, taps, tile, sums, flags)
                    flags = ACCUMULATE

    def _split(self, geometry: Geometry, taps: Taps, x: FeatureMap, tile: Tile) -> Iterator[Taps]:
        """The same taps, a segment's channel blocks at a time, or one where loops are too many."""
        low, high = taps.blocks
        several = taps.counts[0] * taps.counts[1] > 1
        while low < high:
            segment = x.at(tile.low, low)
            end = min(high, segment.end)
            if several and end - low < geometry.blocks:
                end = low + 1
            if not fits(*self._loops(geometry, segment, taps.some(low, end), tile)):
                end = low + 1
            yield taps.some(low, end)
            low = end

    def _loops(
        self, geometry: Geometry, segment: Segment, taps: Taps, tile: Tile
    ) -> tuple[list[Loop], list[Loop]]:
        window, width = geometry.window, geometry.given[1]
        pixels, across = geometry.given[0] * width, geometry.result[1]
        (down, right), (dy, dx) = window.stride, window.dilation
        uses = _padded(geometry, tile)
        kh, kw, blocks = taps.counts
        outer = [
            Loop(kh, dy * width, 0, dy * uses, 0),
            Loop(kw, dx, 0, 0, dx * uses),
            Loop(blocks, segment.rows),
        ]
        inner = [
            Loop(tile.images, pixels, tile.rows * across),
            Loop(tile.rows, down * width, across, down * uses),
            Loop(across, right, 1, 0, right * uses),
        ]
        return outer, inner

    def _seen(
        self,
        geometry: Geometry,
        x: FeatureMap,
        segment: Segment,
        taps: Taps,
        tile: Tile,
        sums: tuple[int, int, int],
        flags: int,
    ) -> None:
        """What some taps see, against their weights, onto a tile's sums."""
        fields = loops(*self._loops(geometry, segment, taps, tile))
        window, width = geometry.window, geometry.given[1]
        row = tile.top * window.stride[0] - window.padding[0] + taps.rows[0] * window.dilation[0]
        column = taps.columns[0] * window.dilation[1] - window.padding[1]
        source = x.word(tile.low, taps.blocks[0]) + row * width + column
        if flags:
            fields["fresh"] = 0
        if _padded(geometry, tile):
            flags |= StreamFlag.WINDOW_READ
            fields |= Limits(row, column, geometry.given[0], width).fields
        read = self.read(segment, *taps.blocks)
        self.stream(read, source, sums, sums[1], flags, fields)


def _padded(geometry: Geometry, tile: Tile) -> bool:
    """Whether a tile's windows reach beyond the source."""
    window, (height, width, _) = geometry.window, geometry.given
    top, left, _, _ = window.padding
    last_row = (tile.bottom - 1) * window.stride[0] - top
    last_row += (window.kernel[0] - 1) * window.dilation[0]
    last_column = (geometry.result[1] - 1) * window.stride[1] - left
    last_column += (window.kernel[1] - 1) * window.dilation[1]
    before = tile.top * window.stride[0] - top < 0 or left > 0
    return before or last_row >= height or last_column >= width
