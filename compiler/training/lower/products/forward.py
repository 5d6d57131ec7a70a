"""The forward product: Y = X W."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pulsarray.compiler.lower.windows import Taps, seen
from pulsarray.compiler.machine.array import Onto
from pulsarray.compiler.machine.views import Area
from pulsarray.compiler.training.lower.geometry import Geometry
from pulsarray.compiler.training.lower.maps import FeatureMap
from pulsarray.compiler.training.lower.pieces import Pieces
from pulsarray.compiler.training.lower.products.stream import Streams

__all__ = ["ForwardProduct"]


class ForwardProduct(Streams):
    """Emits the sums of a layer; what happens to them is for others to say."""

    def emit(
        self,
        geometry: Geometry,
        x: FeatureMap,
        pieces: Pieces,
        tile: Area,
        bank: int,
        busy: Sequence[int],
    ) -> None:
        """Sums of an output tile: for each column block its pixels, one block after the other.

        The source had better not be loaded to a bank that is ``busy``.
        """
        pixels = tile.pixels
        for number, column in enumerate(range(*tile.blocks)):
            onto, fresh = Onto(bank, number * pixels, (number + 1) * pixels), True
            for part in pieces.ranges:
                piece = self.weights.get(pieces.piece(column, part))
                for taps in self._split(geometry, geometry.of(part), x, tile):
                    self.tiles(geometry, piece, part, taps, turned=False)
                    segment = self.rows.get(x.of(tile.of(taps.blocks[0])), avoid=busy)
                    read, view = self.read(segment, *taps.blocks), x.view(tile.of(taps.blocks[0]))
                    nest = seen(geometry.window, geometry.given[:2], 0, taps, tile, view)
                    outer, how = [*nest.taps, nest.blocks], {"limits": nest.limits}
                    self.stream(read, nest.word, onto, outer, nest.pixels, fresh=fresh, **how)
                    fresh = False

    def _split(self, geometry: Geometry, taps: Taps, x: FeatureMap, tile: Area) -> Iterator[Taps]:
        """The same taps, a segment's channel blocks at a time, or one where tiles lie apart.

        Also one where there are so many loops that blocks would be a sixth.
        """
        (kh, kw, _), (low, high) = taps.counts, taps.blocks
        several, deep = kh * kw > 1, min(kh, kw, *tile.counts[1:]) > 1
        while low < high:
            end = min(high, x.of(tile.of(low)).end)
            if deep or (several and end - low < geometry.blocks):
                end = low + 1
            yield taps.some(low, end)
            low = end
