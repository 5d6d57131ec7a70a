"""From one layer and its cut to instructions, in sequential order.

An output tile is summed up in one accumulator bank, step by step over the depth; a step multiplies
a block of the source by a block of the weights, both in slots of the scratchpad. A step may be cut
into pieces, each loaded and used by itself, so that the array starts before everything is there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pulsarray.compiler.lower.chip import MapChip
from pulsarray.compiler.lower.products.product import Product
from pulsarray.compiler.lower.products.tile import Cut, OutputTile
from pulsarray.compiler.machine.array import Onto
from pulsarray.compiler.machine.banks import BlockCache, Resident
from pulsarray.compiler.machine.emitter import spans
from pulsarray.compiler.machine.loops import Loop
from pulsarray.compiler.machine.views import Area
from pulsarray.isa import StreamFlag

__all__ = ["schedule_product"]


def schedule_product(chip: MapChip, product: Product, cut: Cut) -> None:
    """Emit a product's instructions.

    Parameters
    ----------
    chip
        The machine's memories, and the emitter that takes the instructions.
    product, cut
        What to compute, and how it is cut.
    """
    _Layer(chip, product, cut).run()


class _Layer:
    """One layer being scheduled. ``u`` is a unit of depth, ``b`` a column block, ``r`` a row."""

    def __init__(self, chip: MapChip, product: Product, cut: Cut) -> None:
        self.chip, self.product, self.cut = chip, product, cut
        self.shape, self.number = product.shape, product.layer
        self.tiles, self.depths = cut.tiles, cut.depths
        self.chunks = [list(self._chunks(tile)) for tile in self.tiles]
        self.epilogue = product.finish(chip, [chunk for chunks in self.chunks for chunk in chunks])
        self.step = 0
        steps = [(tile, d) for tile in self.tiles for d in range(len(self.depths))]
        self.weights = self._cache([(tile.column_block, d) for tile, d in steps], weights=True)
        self.source: BlockCache | None = None
        if product.loads_source:
            keys = [(tile.row_block, self._source_key(d)) for tile, d in steps]
            self.source = self._cache(keys, weights=False)

    def _source_key(self, depth: int) -> tuple[int, int]:
        return self.shape.source_blocks(*self.depths[depth])

    def _cache(self, keys: Sequence[tuple[int, object]], *, weights: bool) -> BlockCache:
        """Slots as large as the largest block, as many as there is room and use for."""
        cut = self.cut
        split = cut.source_banks if self.product.loads_source else 0
        pool = self.chip.pools(split)[weights]
        if weights:
            size = min(cut.columns, self.shape.columns) * max(map(self._rows, self.depths))
        else:
            blocks = max(
                b - a for a, b in map(self.shape.source_blocks, *zip(*self.depths, strict=True))
            )
            size = min(cut.rows, self.shape.m) * blocks
        return BlockCache(pool.carve(size, len(set(keys))), keys)

    def _rows(self, units: tuple[int, int]) -> int:
        """Rows of the weights in a range of units."""
        height = self.shape.height
        return min(units[1] * height, self.shape.k) - units[0] * height

    def run(self) -> None:
        """Emit every output tile."""
        for tile, chunks in zip(self.tiles, self.chunks, strict=True):
            bank = self.chip.next_sums()
            for depth in range(len(self.depths)):
                _Step(self, tile, depth, bank).run()
                self.step += 1
            for chunk in chunks:
                self.epilogue.run(chunk, bank, within=_area(tile.rows, tile.columns))

    def _chunks(self, tile: OutputTile) -> Iterator[Area]:
        """The parts in which a tile leaves its accumulator bank."""
        room = min(self.product.room, tile.chunk or self.product.room)
        height = min(tile.height, room)
        width = max(1, min(tile.width, room // height, self.product.blocks))
        for low in range(*tile.columns, width):
            for top in range(*tile.rows, height):
                rows = (top, min(tile.rows[1], top + height))
                yield _area(rows, (low, min(tile.columns[1], low + width)))


def _area(rows: tuple[int, int], columns: tuple[int, int]) -> Area:
    """Rows and column blocks of a product as images and channel blocks of a map."""
    return Area(columns, rows, (0, 1), (0, 1))


class _Step:
    """One step: an output tile and a range of units."""

    def __init__(self, layer: _Layer, tile: OutputTile, depth: int, bank: int) -> None:
        self.layer, self.tile, self.bank = layer, tile, bank
        self.shape, self.product, self.chip = layer.shape, layer.product, layer.chip
        self.units = layer.depths[depth]
        self.first = depth == 0
        self.weights = layer.weights.find((tile.column_block, depth), layer.step)
        self.weight_rows = layer._rows(self.units)
        self.column_base = tile.column_block * layer.cut.columns
        self.row_base = tile.row_block * layer.cut.rows
        self.row_count = min(layer.cut.rows, self.shape.m - self.row_base)
        self.source: Resident | None = None
        if layer.source is not None:
            key = (tile.row_block, layer._source_key(depth))
            self.source = layer.source.find(key, layer.step)

    def run(self) -> None:
        """Emit the step's instructions."""
        columns = [b for b in range(*self.tile.columns) if b not in self.weights.loaded]
        loads_source = self.source is not None and not self.source.loaded
        apart = loads_source and not self._source_is_small()
        late = loads_source and not apart and bool(columns) and self._source_is_late()
        pieces = [self.units] if late else self._pieces(bool(columns) or loads_source)
        if loads_source and not (apart or late):
            self._load_source(self.units, (0, self.row_count))
        streamed = False
        for number, piece in enumerate(pieces):
            if columns and apart and not number and self._heads(piece):
                self._head(piece, (columns[0], columns[-1] + 1))
                continue
            if columns:
                self._load_weights(piece, (columns[0], columns[-1] + 1))
            if apart or late:
                self._load_source(piece, (0, self.row_count))
            if columns or not number:
                self._weight(piece if columns else self.units, self.tile.columns)
            if apart or not streamed:
                self._stream(piece if apart else self.units, self.tile.columns)
                streamed = True
        self.weights.loaded.update(columns)
        if self.source is not None:
            self.source.loaded.add(0)

    def _pieces(self, loads: bool) -> list[tuple[int, int]]:
        low, high = self.units
        first_pass = self.layer.step < len(self.layer.depths)
        if not loads or not (first_pass or self.layer.cut.feed_all):
            return [self.units]
        inside = [end for end in self.layer.cut.pieces if low < end < high]
        return list(zip([low, *inside], [*inside, high], strict=True))

    def _source_is_late(self) -> bool:
        """Whether its LOAD waits for the layer before, and must not keep weights waiting."""
        tensor = self.product.source.tensor
        return tensor is not None and tensor.role == "intermediate"

    def _source_is_small(self) -> bool:
        """Whether the source is so little beside the weights that it is loaded in one go."""
        return self.row_count * 8 <= self.tile.width * self.shape.height

    def _heads(self, piece: tuple[int, int]) -> bool:
        head = self.layer.cut.head
        return bool(head) and not self.layer.step and piece[1] - piece[0] == 1

    def _head(self, piece: tuple[int, int], columns: tuple[int, int]) -> None:
        """The first unit of all: rows of its first column block are streamed as they come.

        Then the other column blocks.
        """
        first = (columns[0], columns[0] + 1)
        self._load_weights(piece, first)
        self._weight(piece, first)
        low, high = self.tile.rows
        for row in range(low, high, self.layer.cut.head):
            rows = (row, min(high, row + self.layer.cut.head))
            self._load_source(piece, (rows[0] - self.row_base, rows[1] - self.row_base))
            self._stream(piece, first, rows, keep=row > low)
        if high - self.row_base < self.row_count:
            self._load_source(piece, (high - self.row_base, self.row_count))
        if columns[1] > first[1]:
            rest = (first[1], columns[1])
            self._load_weights(piece, rest)
            self._weight(piece, rest)
            self._stream(piece, rest)

    def _load_weights(self, units: tuple[int, int], columns: tuple[int, int]) -> None:
        """LOAD the weights of a range of units and column blocks into their slot."""
        rows = self.layer._rows(units)
        self.chip.load(
            self.layer.number,
            self.product.weights,
            columns[0] * self.shape.k + units[0] * self.shape.height,
            self.weights.slot.bank,
            self._weight_base(units, columns),
            rows=rows,
            blocks=columns[1] - columns[0],
            local_stride=self.weight_rows,
            memory_stride=self.shape.k,
        )

    def _weight_base(self, units: tuple[int, int], columns: tuple[int, int]) -> int:
        base = self.weights.slot.base + (units[0] - self.units[0]) * self.shape.height
        return base + (columns[0] - self.column_base) * self.weight_rows

    def _load_source(self, units: tuple[int, int], rows: tuple[int, int]) -> None:
        """LOAD rows of the row block (counted from its first) for a range of units."""
        stored = self.product.source
        assert stored.tensor is not None
        assert self.source is not None
        first, last = self.shape.source_blocks(*units)
        base = self.source.slot.base + self._source_offset(first)
        self.chip.load(
            self.layer.number,
            stored.tensor,
            stored.origin + first * self.shape.m + self.row_base + rows[0],
            self.source.slot.bank,
            base + rows[0],
            rows=rows[1] - rows[0],
            blocks=last - first,
            local_stride=self.row_count,
            memory_stride=self.shape.m,
        )

    def _source_offset(self, block: int) -> int:
        return (block - self.shape.source_blocks(*self.units)[0]) * self.row_count

    def _weight(self, units: tuple[int, int], columns: tuple[int, int]) -> None:
        """WEIGHT: tiles in the order depth, then columns, as STREAM takes them."""
        shape, bank, local = self.shape, self.weights.slot.bank, self._weight_base(units, columns)
        rows, count = self.layer._rows(units), units[1] - units[0]
        width = columns[1] - columns[0]
        lane = units[0] % shape.per_block
        if shape.per_block > 1:
            window = {"row_start": -lane, "row_step0": -1, "row_limit": 1, "row_stride": 0}
        elif rows < count * shape.height:
            window = {"row_step0": shape.height, "row_limit": rows}
        else:
            window = {}
        self.chip.weigh(
            self.layer.number,
            spans(bank, local, rows, width, self.weight_rows, write=False),
            local,
            count0=count,
            stride0=shape.height,
            count1=width,
            stride1=self.weight_rows,
            **window,
        )

    def _stream(
        self,
        units: tuple[int, int],
        columns: tuple[int, int],
        rows: tuple[int, int] | None = None,
        *,
        keep: bool = False,
    ) -> None:
        """STREAM rows of the tile against a range of units and column blocks."""
        shape, tile = self.shape, self.tile
        rows = rows or tile.rows
        bank, base, stride = self._source_place(units)
        source = base + rows[0]
        blocks = -(-units[1] // shape.per_block) - units[0] // shape.per_block
        height, width, count = rows[1] - rows[0], columns[1] - columns[0], units[1] - units[0]
        target = (columns[0] - tile.columns[0]) * tile.height + rows[0] - tile.rows[0]
        self.chip.stream(
            self.layer.number,
            spans(bank, source, height, blocks, stride, write=False),
            source,
            Onto(self.bank, target, target + (width - 1) * tile.height + height),
            [Loop(count, stride if blocks > 1 else 0), Loop(width, 0, tile.height)],
            [Loop(height, 1, 1)],
            fresh=self.first and units[0] == self.units[0],
            flags=int(StreamFlag.KEEP) if keep else 0,
        )

    def _source_place(self, units: tuple[int, int]) -> tuple[int, int, int]:
        """Bank, word of row 0 of the tensor (as if it were there), and step between blocks."""
        block = self.shape.source_blocks(*units)[0]
        if self.source is None:
            view = self.product.source.view
            return view.bank, view.base + block * self.shape.m, self.shape.m
        base = self.source.slot.base + self._source_offset(block) - self.row_base
        return self.source.slot.bank, base, self.row_count
