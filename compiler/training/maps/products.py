"""The three products of a convolution through address generators: no operand is ever copied.

Forward, each tap's weights meet the shifted pixels of the source; for the source's gradient, the
pixels of the error meet the transposed weights and go to shifted sums; for the weights' gradient,
D pixels of the error are stationary and meet the transposed shifted pixels of the source.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pulsarray.compiler.machine.emitter import Access
from pulsarray.compiler.training.chip import TrainChip
from pulsarray.compiler.training.maps.geometry import Geometry, Loop, Taps, loops
from pulsarray.compiler.training.maps.maps import FeatureMap, Tile, common
from pulsarray.compiler.training.memory import Cache, Segment
from pulsarray.compiler.training.products import Pieces
from pulsarray.isa import Opcode, StreamFlag, WeightFlag

__all__ = ["MapProducts"]

_WORD = 0xFFFF
_KEEP, _ACCUMULATE = int(StreamFlag.KEEP), int(StreamFlag.ACCUMULATE)
_READ, _WRITE = int(StreamFlag.WINDOW_READ), int(StreamFlag.WINDOW_WRITE)
_TURN = int(StreamFlag.TRANSPOSE)


@dataclass(frozen=True)
class _Window:
    """First row and column, and how many there are."""

    row: int
    column: int
    height: int
    width: int


class MapProducts:
    """Emits products of feature maps; what happens to their sums is for others to say.

    Parameters
    ----------
    chip
        The machine.
    rows, weights
        Caches of maps and of weights.

    Members
    -------
    busy
        Banks in which a source of the forward product had better not be.
    """

    def __init__(self, chip: TrainChip, rows: Cache, weights: Cache) -> None:
        self.chip, self.rows, self.weights = chip, rows, weights
        self.dim = chip.config.dim
        self.busy: list[int] = []

    @property
    def phase(self) -> int:
        """Number of the phase that instructions are counted for."""
        return self.rows.phase

    # Forward

    def forward(
        self,
        geometry: Geometry,
        x: FeatureMap,
        pieces: Pieces,
        tile: Tile,
        columns: range,
        bank: int,
    ) -> None:
        """Sums of an output tile: for each column block its pixels, one block after the other."""
        pixels = tile.images * tile.rows * geometry.result[1]
        for number, column in enumerate(columns):
            first = True
            for part in pieces.ranges:
                piece = self.weights.get(pieces.piece(column, part))
                for taps in self._split(geometry, geometry.of(part), x, tile):
                    target = number * pixels
                    self._seen(geometry, x, piece, part, taps, tile, bank, target, fresh=first)
                    first = False

    def _split(self, geometry: Geometry, taps: Taps, x: FeatureMap, tile: Tile) -> Iterator[Taps]:
        """The same taps, a segment's channel blocks at a time, or one where loops are too many."""
        low, high = taps.blocks
        blocks = geometry.blocks
        while low < high:
            segment = x.at(tile.low, low)
            end = min(high, segment.first + segment.blocks)
            several = taps.counts[0] * taps.counts[1] > 1
            if several and end - low < blocks:
                end = low + 1
            found = Taps(taps.rows, taps.columns, (low, end))
            if end - low > 1 and self._forward_loops(geometry, segment, found, tile) is None:
                end = low + 1
                found = Taps(taps.rows, taps.columns, (low, end))
            yield found
            low = end

    def _forward_loops(
        self, geometry: Geometry, segment: Segment, taps: Taps, tile: Tile
    ) -> dict[str, int] | None:
        window, width = geometry.window, geometry.given[1]
        pixels, across = geometry.given[0] * width, geometry.result[1]
        (down, right), (dy, dx) = window.stride, window.dilation
        uses = self._padded(geometry, tile)
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
        return loops(outer, inner)

    def _padded(self, geometry: Geometry, tile: Tile) -> bool:
        """Whether a tile's windows reach beyond the source."""
        window, (height, width, _) = geometry.window, geometry.given
        top, left, _, _ = window.padding
        last_row = (tile.bottom - 1) * window.stride[0] - top
        last_row += (window.kernel[0] - 1) * window.dilation[0]
        last_column = (geometry.result[1] - 1) * window.stride[1] - left
        last_column += (window.kernel[1] - 1) * window.dilation[1]
        before = tile.top * window.stride[0] - top < 0 or left > 0
        return before or last_row >= height or last_column >= width

    def _seen(
        self,
        geometry: Geometry,
        x: FeatureMap,
        piece: Segment,
        part: tuple[int, int],
        taps: Taps,
        tile: Tile,
        bank: int,
        target: int,
        *,
        fresh: bool,
    ) -> None:
        """What some taps see, against their weights, onto a tile's sums."""
        self._weights(geometry, piece, part, taps, turned=False)
        segment = self.rows.get(x.at(tile.low, taps.blocks[0]), avoid=self.busy)
        fields = self._forward_loops(geometry, segment, taps, tile)
        assert fields is not None
        window, width = geometry.window, geometry.given[1]
        row = tile.top * window.stride[0] - window.padding[0] + taps.rows[0] * window.dilation[0]
        column = taps.columns[0] * window.dilation[1] - window.padding[1]
        source = x.word(tile.low, taps.blocks[0]) + row * width + column
        count = tile.images * tile.rows * geometry.result[1]
        flags = 0 if fresh else _ACCUMULATE
        if not fresh:
            fields["fresh"] = 0
        if self._padded(geometry, tile):
            flags |= _READ
            fields |= self._limits(_Window(row, column, geometry.given[0], width))
        self._stream(self._all(segment), source, bank, target, count, flags, fields)

    def _limits(self, window: _Window) -> dict[str, int]:
        return {
            "row_start": window.row,
            "column_start": window.column,
            "row_limit": window.height,
            "column_limit": window.width,
        }

    def _all(self, segment: Segment) -> Access:
        base = segment.base(segment.first)
        return Access(segment.bank, base, base + segment.rows * segment.blocks, False)

    def _stream(
        self,
        access: Access,
        source: int,
        bank: int,
        target: int,
        count: int,
        flags: int,
        fields: dict[str, int],
        *,
        base: int | None = None,
    ) -> None:
        """STREAM onto ``count`` sums from ``base`` on."""
        base = target if base is None else base
        self.chip.emitter.emit(
            Opcode.STREAM,
            self.phase,
            [access, Access(bank, base, base + count, True, exclusive=True)],
            source_bank=access.bank,
            source=source & _WORD,
            target_bank=bank,
            target=target & _WORD,
            flags=flags,
            **fields,
        )

    def _weights(
        self,
        geometry: Geometry,
        piece: Segment,
        part: tuple[int, int],
        taps: Taps,
        *,
        turned: bool,
    ) -> None:
        """Tiles of weights in the order of taps: kernel row, kernel column, block."""
        dim, width = self.dim, geometry.window.kernel[1]
        kh, kw, blocks = taps.counts
        tile = (taps.rows[0] * width + taps.columns[0]) * geometry.blocks + taps.blocks[0]
        base = piece.base(piece.first)
        first = (tile - part[0]) * dim
        step = dim if blocks == geometry.blocks or kh * kw == 1 else geometry.blocks * dim
        tiles = kh * kw * blocks
        window = {}
        if first + (tiles - 1) * step + dim > piece.rows:
            window = {"row_step0": dim, "row_limit": piece.rows - first}
        self.chip.emitter.emit(
            Opcode.WEIGHT,
            self.phase,
            [Access(piece.bank, base, base + piece.rows, False)],
            bank=piece.bank,
            local=base + first,
            flags=WeightFlag.TRANSPOSE if turned else 0,
            count0=tiles,
            stride0=step if tiles > 1 else 0,
            **window,
        )

    # The source's gradient

    def backward(
        self,
        geometry: Geometry,
        delta: FeatureMap,
        pieces: Pieces,
        tile: Tile,
        blocks: range,
        bank: int,
    ) -> None:
        """The gradient of a tile of the source, some channel blocks, one after the other."""
        pixels = tile.images * tile.rows * geometry.given[1]
        plain = geometry.linear or geometry.whole
        if not plain:
            self._clear(delta, tile, bank, pixels * len(blocks))
        for column in range(delta.cuts()[-1]):
            for part in pieces.ranges:
                taps = geometry.of(part)
                piece = self.weights.get(pieces.piece(column, part))
                for some in _together(geometry, taps, blocks, one=not plain):
                    target = (some.blocks[0] - blocks.start) * pixels
                    fresh = plain and not column
                    self._spread(
                        geometry, delta, piece, part, some, tile, bank, target, column, fresh=fresh
                    )

    def _clear(self, delta: FeatureMap, tile: Tile, bank: int, count: int) -> None:
        """Sums become zero: words outside a window are zero, whatever the weights."""
        segment = self.rows.get(delta.at(tile.low, 0))
        fields = loops([], [Loop(count, 0, 1)])
        assert fields is not None
        fields |= self._limits(_Window(-1, 0, 1, 1))
        source = segment.base(segment.first)
        self._stream(self._all(segment), source, bank, 0, count, _READ | _KEEP, fields)

    def _spread(
        self,
        geometry: Geometry,
        delta: FeatureMap,
        piece: Segment,
        part: tuple[int, int],
        taps: Taps,
        tile: Tile,
        bank: int,
        base: int,
        column: int,
        *,
        fresh: bool,
    ) -> None:
        """A column block of the error against some taps, onto shifted sums."""
        window, width = geometry.window, geometry.given[1]
        (down, right), (dy, dx), (top, left, _, _) = window.stride, window.dilation, window.padding
        across = geometry.result[1]
        kernel = taps.rows[0] * dy, (taps.rows[1] - 1) * dy
        low = max(0, -(-(tile.top + top - kernel[1]) // down))
        high = min(geometry.result[0], (tile.bottom - 1 + top - kernel[0]) // down + 1)
        if low >= high:
            return
        self._weights(geometry, piece, part, taps, turned=True)
        segment = self.rows.get(delta.at(tile.low, column))
        row = low * down - top + kernel[0] - tile.top
        first = taps.columns[0] * dx - left
        kh, kw, blocks = taps.counts
        last_row = row + (high - low - 1) * down + kernel[1] - kernel[0]
        last = first + (across - 1) * right + (kw - 1) * dx
        cut = row < 0 or first < 0 or last_row >= tile.rows or last >= width
        count = tile.images * tile.rows * width
        outer = [
            Loop(kh, 0, dy * width, dy * cut),
            Loop(kw, 0, dx, 0, dx * cut),
            Loop(blocks, 0, count),
        ]
        inner = [
            Loop(tile.images, geometry.result[0] * across, tile.rows * width),
            Loop(high - low, across, down * width, down * cut),
            Loop(across, 1, right, 0, right * cut),
        ]
        fields = loops(outer, inner)
        assert fields is not None
        flags = 0 if fresh else _ACCUMULATE
        # Where nothing was cleared, every sum is written once by the first column block.
        fields["fresh"] = 0
        if cut:
            flags |= _WRITE
            fields |= self._limits(_Window(row, first, tile.rows, width))
        source = delta.word(tile.low, column, low)
        target = base + row * width + first
        sums = count * blocks
        self._stream(self._all(segment), source, bank, target, sums, flags, fields, base=base)

    # The weights' gradient

    def gradient(
        self,
        geometry: Geometry,
        x: FeatureMap,
        delta: FeatureMap,
        part: tuple[int, int],
        column: int,
        bank: int,
        *,
        add: bool,
        passing: bool = False,
        before: Callable[[int], None] | None = None,
    ) -> None:
        """Sums of a piece of weights over all pixels: D rows a tile, one tile after the other.

        With ``passing``, memory has x and its place is free again as soon as it was read.
        ``before`` is called with the images that are about to be needed, and some more: the
        vector unit may still be making their errors while the array works for those before.
        """
        taps = geometry.of(part)
        for low, high in common(x.groups(), delta.groups()):
            if before is not None:
                before(high + 1)
            if passing:
                self.rows.drop(done for done in x.parts if done.high <= low)
            for some in self._gradient_parts(geometry, x, taps, low):
                still = self.rows.get(delta.at(low, column))
                segment = x.at(low, some.blocks[0])
                self.rows.get(segment, avoid=[still.bank], pinned=[still])
                self.rows.part(segment, still)
                for number, group in enumerate(self._groups(geometry, low, high)):
                    adds = add or number > 0
                    self._turned(geometry, x, delta, part, some, group, column, bank, add=adds)
            add = True

    def _gradient_parts(
        self, geometry: Geometry, x: FeatureMap, taps: Taps, image: int
    ) -> Iterator[Taps]:
        """Taps whose words lie in one segment and fit the loops."""
        low, high = taps.blocks
        several = taps.counts[0] * taps.counts[1] > 1 and not geometry.whole
        while low < high:
            segment = x.at(image, low)
            end = min(high, segment.first + segment.blocks)
            end = low + 1 if several else end
            yield Taps(taps.rows, taps.columns, (low, end))
            low = end

    def _groups(self, geometry: Geometry, low: int, high: int) -> Iterator[tuple[int, int]]:
        """Images whose pixels are loops of one instruction."""
        if geometry.linear or geometry.whole:
            yield low, high
            return
        for image in range(low, high):
            yield image, image + 1

    def _turned(
        self,
        geometry: Geometry,
        x: FeatureMap,
        delta: FeatureMap,
        part: tuple[int, int],
        taps: Taps,
        images: tuple[int, int],
        column: int,
        bank: int,
        *,
        add: bool,
    ) -> None:
        """Groups of D pixels of some images, one pass each."""
        dim, window, (height, width, _) = self.dim, geometry.window, geometry.given
        rows, across, _ = geometry.result
        low, high = images
        segment = x.at(low, taps.blocks[0])
        still = delta.at(low, column)
        (down, right), (dy, dx), (top, left, _, _) = window.stride, window.dilation, window.padding
        kh, kw, blocks = taps.counts
        tile = (taps.rows[0] * window.kernel[1] + taps.columns[0]) * geometry.blocks
        first = (tile + taps.blocks[0] - part[0]) * dim
        row = taps.rows[0] * dy - top
        start = taps.columns[0] * dx - left
        total = (high - low) * (geometry.given[0] * width if geometry.linear else 1)
        if geometry.linear or geometry.whole:
            # Pixels of all images, or images, in one line; its end is cut by the window.
            pitch = 1 if geometry.linear else height * width
            uses = total % dim > 0
            groups = [Loop(-(-total // dim), dim * pitch, 0, dim * uses)]
            pixels = [Loop(dim, pitch, 1, int(uses))]
            weight = {"count0": groups[0].count, "stride0": dim, "row_step0": dim}
            limits = _Window(0, 0, total, 1)
            limit, local = total, delta.word(low, column)
            dy_row = dx_column = 0
        else:
            uses, dy_row, dx_column = True, dy, dx
            limits = _Window(row, start, height, width)
            local = delta.word(low, column)
            together = dim // across if dim % across == 0 else 0
            if together:
                count = -(-rows // together)
                groups = [Loop(count, together * down * width, 0, together * down)]
                pixels = [
                    Loop(together, down * width, across, down),
                    Loop(across, right, 1, 0, right),
                ]
                weight = {"count0": count, "stride0": dim, "row_step0": dim}
                limit = rows * across
            else:
                pieces = -(-across // dim)
                groups = [
                    Loop(pieces, dim * right, 0, 0, dim * right),
                    Loop(rows, down * width, 0, down),
                ]
                pixels = [Loop(dim, right, 1, 0, right)]
                weight = {"count0": pieces, "stride0": dim, "row_step0": dim}
                weight |= {"count1": rows, "stride1": across}
                limit = across
        inner = [
            Loop(kh, dy * width, window.kernel[1] * geometry.blocks * dim, dy_row),
            Loop(kw, dx, geometry.blocks * dim, 0, dx_column),
            Loop(blocks, segment.rows, dim),
            *pixels,
        ]
        fields = loops(groups, inner)
        assert fields is not None
        if not weight["count0"] * dim > limit and limit % dim == 0:
            weight.pop("row_step0")
        else:
            weight["row_limit"] = limit
        self._emit_still(still, weight, local)
        flags = _TURN | (_ACCUMULATE if add else 0)
        if add:
            fields["fresh"] = 0
        if uses:
            flags |= _READ
            fields |= self._limits(limits)
        source = x.word(low, taps.blocks[0]) + row * width + start
        count = part[1] * dim - part[0] * dim
        self._stream(self._all(segment), source, bank, first, count, flags, fields, base=0)

    def _emit_still(self, still: Segment, weight: dict[str, int], local: int) -> None:
        if weight["count0"] == 1:
            weight = weight | {"stride0": 0}
        if weight.get("count1") == 1:
            weight = weight | {"stride1": 0}
        self.chip.emitter.emit(
            Opcode.WEIGHT,
            self.phase,
            [self._all(still)],
            bank=still.bank,
            local=local,
            **weight,
        )

    def bias(
        self, ones: Segment, delta: FeatureMap, columns: tuple[int, int], bank: int, *, add: bool
    ) -> None:
        """Sums of the error over all pixels: D words a column block, of which the first counts."""
        dim = self.dim
        for low, high in delta.groups():
            for column in range(*columns):
                still = self.rows.get(delta.at(low, column))
                word = self.rows.get(ones, avoid=[still.bank], pinned=[still])
                self.rows.part(word, still)
                total = (high - low) * delta.pixels
                groups = -(-total // dim)
                weight = {"count0": groups, "stride0": dim, "row_step0": dim, "row_limit": total}
                self._emit_still(still, weight, delta.word(low, column))
                fields = loops([Loop(groups)], [Loop(dim, 0, 1)])
                assert fields is not None
                flags = _TURN | (_ACCUMULATE if add else 0)
                if add:
                    fields["fresh"] = 0
                target = (column - columns[0]) * dim
                source = word.base(word.first)
                self._stream(self._all(word), source, bank, target, dim, flags, fields)
            add = True


def _together(geometry: Geometry, taps: Taps, blocks: range, *, one: bool) -> Iterator[Taps]:
    """The same taps with all of some channel blocks, or one block at a time."""
    low, high = max(taps.blocks[0], blocks.start), min(taps.blocks[1], blocks.stop)
    several = taps.counts[0] * taps.counts[1] > 1
    if one or (several and high - low < geometry.blocks):
        for block in range(low, high):
            yield Taps(taps.rows, taps.columns, (block, block + 1))
    elif low < high:
        yield Taps(taps.rows, taps.columns, (low, high))
