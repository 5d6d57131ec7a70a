"""Per-lane constants and function tables of VECTORs, brought to the chip when they are due."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pulsarray.compiler.lower.chip import Cached, MapChip
from pulsarray.compiler.machine.chip import PARAMETER_COLUMNS
from pulsarray.compiler.machine.emitter import Access
from pulsarray.compiler.machine.views import Area, Stored
from pulsarray.isa import Activation
from pulsarray.program import Tensor

__all__ = ["Constants", "Sums", "row_of"]


@dataclass(frozen=True)
class Sums:
    """How sums, or codes, become codes.

    Parameters
    ----------
    parameters
        Rows of per-lane constants; None without.
    fields
        Fields of the VECTOR.
    uses
        Flags of a VECTOR that says what it uses of the rows.
    single
        Whether there is one row for all channel blocks.
    fine
        Bits below a code to which a VECTOR of its own scales sums first; 0 without.
    together
        Whether all rows are LOADed at once.
    by_row
        Whether each row of pixels has rows of its own, of which only the bias is used.
    """

    parameters: Tensor | None
    fields: Mapping[str, int]
    uses: int = 0
    single: bool = False
    fine: int = 0
    together: bool = False
    by_row: bool = False

    @property
    def columns(self) -> int:
        """Columns of a row of parameters that are used."""
        return 1 if self.by_row else PARAMETER_COLUMNS - (not self.fine)


def row_of(area: Area, result: Stored) -> int:
    """First row of parameters of a tile in one row of pixels, where each has its own."""
    row = area.images[0] * result.height + area.rows[0]
    return row * result.blocks + area.blocks[0]


class Constants:
    """What the VECTORs of one operator need beside their operands, tile after tile.

    Parameters
    ----------
    chip, layer
        The machine, and the layer it works for.
    result
        The operator's result.
    sums
        How it is scaled.
    tiles
        Every tile in order.
    table
        Function table in memory; None without.
    """

    def __init__(
        self,
        chip: MapChip,
        layer: int,
        result: Stored,
        sums: Sums,
        tiles: Sequence[Area],
        table: Tensor | None = None,
    ) -> None:
        self.chip, self.layer, self.result, self.sums = chip, layer, result, sums
        self.table, self._table = table, -1
        self._rows: Cached | None = None
        self._step = 0
        if sums.parameters is not None:
            keys = [self._key(tile) for tile in tiles]
            self._rows = chip.parameter_cache(max(high - low for low, high in keys), keys)

    def load_table(self) -> None:
        """LOAD the table, if there is one that is not there yet."""
        if self.table is not None and self._table < 0:
            self._table = self.chip.load_table(self.layer, self.table)

    def next(self, area: Area) -> tuple[dict[str, int], list[Access]]:
        """Fields for the next tile, and the words of its constants, which are LOADed."""
        self.load_table()
        fields = dict(self.sums.fields) | self.result.lanes(area, self.chip.config.dim)
        touched = list[Access]()
        if self._rows is not None:
            row, count = self._row(self._rows, area)
            fields["flags"] = fields.get("flags", 0) | self.sums.uses
            fields |= {"parameter": row, "parameter_step": 1 if count > 1 else 0}
            touched.append(self.chip.parameter_access(row, count))
        if self._table >= 0:
            fields |= {"activation": Activation.TABLE, "table": self._table}
            touched.append(self.chip.table_access(self._table))
        self._step += 1
        return fields, touched

    def _key(self, area: Area) -> tuple[int, int]:
        """Rows of parameters that are LOADed for a tile."""
        if self.sums.together:
            return 0, self.result.blocks
        if self.sums.by_row:
            first = row_of(area, self.result)
            return first, first + area.counts[0]
        return (0, 1) if self.sums.single else area.blocks

    def _row(self, rows: Cached, area: Area) -> tuple[int, int]:
        """First row of a tile's parameters, and how many."""
        key = self._key(area)
        resident, missing = rows.find(key, self._step)
        row, count = resident.slot.base, key[1] - key[0]
        if missing:
            assert self.sums.parameters is not None
            columns = self.sums.columns
            self.chip.load_parameters(self.layer, self.sums.parameters, key[0], count, row, columns)
        if self.sums.together:
            return row + area.blocks[0], area.counts[0]
        return row, count
