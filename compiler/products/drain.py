"""From sums in the accumulator to the result: VECTOR and STORE, chunk by chunk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pulsarray.compiler.machine.banks import Slot
from pulsarray.compiler.machine.emitter import Access, spans
from pulsarray.compiler.products.chip import Chip
from pulsarray.compiler.products.product import Product
from pulsarray.compiler.products.tile import OutputTile
from pulsarray.isa import Activation, Bank, Opcode, VectorFlag

__all__ = ["PARAMETER_COLUMNS", "Drain"]

PARAMETER_COLUMNS = 4
"""Words of one row of the parameter bank: bias, multiplier, shift, constant."""
_USED_COLUMNS = 3
_FEW_ROWS = 4


class Drain:
    """Takes a layer's finished output tiles to their place.

    Parameters
    ----------
    chip
        The machine's memories.
    number
        The layer's place in the program.
    product
        The layer.
    tiles
        Its output tiles.
    """

    def __init__(
        self, chip: Chip, number: int, product: Product, tiles: Sequence[OutputTile]
    ) -> None:
        self.chip, self.number, self.product = chip, number, product
        self.columns = -(-product.n // chip.config.dim)
        self.bank = chip.result_bank(number)
        depth = chip.config.scratchpad_depth
        self.room = depth if product.result is None else max(1, depth // 2)
        largest = max(tile.height * tile.width for tile in tiles)
        self.slots = self._slots(min(self.room, largest), depth)
        self.chunk = 0
        self.rows: dict[tuple[int, int], int] = {}
        self.table = -1

    def _slots(self, size: int, depth: int) -> list[Slot]:
        if self.product.result is None:
            return [Slot(self.bank, 0)]
        return [Slot(self.bank, base) for base in range(0, depth - size + 1, size)]

    def run(self, tile: OutputTile, accumulator: int) -> None:
        """Emit what follows the last step of an output tile."""
        if self.product.requantize is None:
            self._store_sums(tile, accumulator)
            return
        for rows, columns in self._chunks(tile):
            self._load_constants(columns)
            self._vector(tile, accumulator, rows, columns)

    def _chunks(self, tile: OutputTile) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
        """Rows and column blocks that fit a slot and the parameter bank."""
        room = min(self.room, tile.chunk or self.room)
        height = min(tile.height, room)
        width = max(1, min(tile.width, room // height))
        if self.product.parameters is not None:
            width = min(width, self._parameter_share())
        for low in range(*tile.columns, width):
            for top in range(*tile.rows, height):
                rows = (top, min(tile.rows[1], top + height))
                yield rows, (low, min(tile.columns[1], low + width))

    def _parameter_share(self) -> int:
        """Rows of parameters that a chunk may use: half of the bank, unless all fit."""
        depth = self.chip.config.parameter_depth
        return self.columns if self.columns <= depth else max(1, depth // 2)

    def _load_constants(self, columns: tuple[int, int]) -> None:
        if self.product.table is not None and self.table < 0:
            self._load_table()
        if self.product.parameters is None:
            return
        whole = self.columns <= self.chip.config.parameter_depth
        wanted = (0, self.columns) if whole else columns
        if wanted not in self.rows:
            self._load_parameters(wanted)

    def _load_parameters(self, columns: tuple[int, int]) -> None:
        """LOAD rows of parameters: without the unused column if they are few bursts."""
        tensor, count = self.product.parameters, columns[1] - columns[0]
        assert tensor is not None
        row = self.chip.parameter_rows(count)
        for held, first in list(self.rows.items()):
            if first < row + count and row < first + held[1] - held[0]:
                del self.rows[held]
        self.rows[columns] = row
        used = _USED_COLUMNS if count <= _FEW_ROWS else PARAMETER_COLUMNS
        low = row * PARAMETER_COLUMNS
        self.chip.load(
            self.number,
            tensor,
            columns[0] * PARAMETER_COLUMNS,
            Bank.PARAMETER,
            low,
            rows=used,
            blocks=count,
            local_stride=PARAMETER_COLUMNS,
            memory_stride=PARAMETER_COLUMNS,
        )

    def _load_table(self) -> None:
        tensor, words = self.product.table, self.chip.config.table_words
        assert tensor is not None
        self.table = self.chip.next_table()
        low = self.table * words
        self.chip.load(
            self.number,
            tensor,
            0,
            Bank.TABLE,
            low,
            rows=words,
            blocks=1,
            local_stride=0,
            memory_stride=0,
        )

    def _vector(
        self,
        tile: OutputTile,
        accumulator: int,
        rows: tuple[int, int],
        columns: tuple[int, int],
    ) -> None:
        """VECTOR a chunk from the accumulator to its slot, and STORE it from there."""
        height, width = rows[1] - rows[0], columns[1] - columns[0]
        source = (columns[0] - tile.columns[0]) * tile.height + rows[0] - tile.rows[0]
        if self.product.result is None:
            target, stride = columns[0] * self.product.m + rows[0], self.product.m
        else:
            target, stride = self.slots[self.chunk % len(self.slots)].base, height
            self.chunk += 1
        fields = self._requantize_fields(columns)
        accesses = [
            *spans(accumulator, source, height, width, tile.height, write=False),
            *spans(self.bank, target, height, width, stride, write=True),
            *self._constant_accesses(fields.get("parameter", 0), width),
        ]
        fields |= {"a_bank": accumulator, "a": source, "target_bank": self.bank, "target": target}
        fields |= {"count0": width, "count3": height}
        if width > 1:
            fields |= {"a_stride0": tile.height, "target_stride0": stride}
        if height > 1:
            fields |= {"a_stride3": 1, "target_stride3": 1}
        self.chip.emitter.emit(Opcode.VECTOR, self.number, accesses, **fields)
        if self.product.result is not None:
            self._store(self.bank, target, rows, columns, height)

    def _requantize_fields(self, columns: tuple[int, int]) -> dict[str, int]:
        requantize = self.product.requantize
        assert requantize is not None
        fields = {
            "zero_target": requantize.zero,
            "low": requantize.low,
            "high": requantize.high,
        }
        if columns[1] == self.columns:
            fields["last_lanes"] = self.product.n % self.chip.config.dim
        if requantize.per_lane:
            whole = self.columns <= self.chip.config.parameter_depth
            row = self.rows[(0, self.columns)] + columns[0] if whole else self.rows[columns]
            fields |= {"flags": VectorFlag.BIAS | VectorFlag.LANE_SCALE, "parameter": row}
            fields["parameter_step"] = 1 if columns[1] - columns[0] > 1 else 0
        else:
            fields |= {"multiplier": requantize.multiplier, "shift": requantize.shift}
        if self.product.table is not None:
            fields |= {"activation": Activation.TABLE, "table": self.table}
        return fields

    def _constant_accesses(self, row: int, width: int) -> Iterator[Access]:
        if self.product.parameters is not None:
            low = row * PARAMETER_COLUMNS
            yield Access(Bank.PARAMETER, low, low + width * PARAMETER_COLUMNS, False)
        if self.product.table is not None:
            words = self.chip.config.table_words
            yield Access(Bank.TABLE, self.table * words, (self.table + 1) * words, False)

    def _store_sums(self, tile: OutputTile, accumulator: int) -> None:
        self._store(accumulator, 0, tile.rows, tile.columns, tile.height)

    def _store(
        self,
        bank: int,
        local: int,
        rows: tuple[int, int],
        columns: tuple[int, int],
        stride: int,
    ) -> None:
        result = self.product.result
        assert result is not None
        self.chip.store(
            self.number,
            result,
            columns[0] * self.product.m + rows[0],
            bank,
            local,
            rows=rows[1] - rows[0],
            blocks=columns[1] - columns[0],
            local_stride=stride,
            memory_stride=self.product.m,
        )
