"""WEIGHT and STREAM as all products use them."""

from __future__ import annotations

from dataclasses import dataclass

from pulsarray.compiler.machine.emitter import Access
from pulsarray.compiler.training.lower.geometry import Geometry, Taps
from pulsarray.compiler.training.lower.lowering import Lowering
from pulsarray.compiler.training.lower.maps import Segment
from pulsarray.isa import Opcode, StreamFlag, WeightFlag

__all__ = ["ACCUMULATE", "Limits", "Streams"]

ACCUMULATE = int(StreamFlag.ACCUMULATE)
_WORD = 0xFFFF


@dataclass(frozen=True)
class Limits:
    """A window's first row and column, and how many rows and columns there are."""

    row: int
    column: int
    height: int
    width: int

    @property
    def fields(self) -> dict[str, int]:
        """Fields of STREAM."""
        return {
            "row_start": self.row, "column_start": self.column,
            "row_limit": self.height, "column_limit": self.width,
        }  # fmt: skip


class Streams:
    """Emits what products are made of.

    Parameters
    ----------
    lowering
        The program.
    """

    def __init__(self, lowering: Lowering) -> None:
        self.chip, self.rows, self.weights = lowering.chip, lowering.rows, lowering.weights
        self.dim = lowering.config.dim

    def read(self, segment: Segment, first: int, end: int) -> Access:
        """Reads of some channel blocks; what a window cuts off is not read."""
        return Access(segment.bank, segment.base(first), segment.base(end), False)

    def stream(
        self,
        access: Access,
        source: int,
        sums: tuple[int, int, int],
        target: int,
        flags: int,
        fields: dict[str, int],
    ) -> None:
        """STREAM from a word on; ``sums`` are the bank and the words that may be written."""
        bank, first, end = sums
        self.chip.emitter.emit(
            Opcode.STREAM,
            self.chip.phase,
            [access, Access(bank, first, end, True, exclusive=True)],
            source_bank=access.bank,
            source=source & _WORD,
            target_bank=bank,
            target=target & _WORD,
            flags=flags,
            **fields,
        )

    def tiles(
        self, geometry: Geometry, piece: Segment, part: tuple[int, int], taps: Taps, *, turned: bool
    ) -> None:
        """WEIGHT of a piece's tiles in the order of taps: kernel row, kernel column, block."""
        dim, width = self.dim, geometry.window.kernel[1]
        kh, kw, blocks = taps.counts
        tile = (taps.rows[0] * width + taps.columns[0]) * geometry.blocks + taps.blocks[0]
        base = piece.base(piece.first)
        first = (tile - part[0]) * dim
        step = dim if blocks == geometry.blocks or kh * kw == 1 else geometry.blocks * dim
        count = kh * kw * blocks
        window = {}
        if first + (count - 1) * step + dim > piece.rows:
            window = {"row_step0": dim, "row_limit": piece.rows - first}
        fields = {"count0": count, "stride0": step if count > 1 else 0, **window}
        access = Access(piece.bank, base, base + piece.rows, False)
        self._weight(access, base + first, fields, turned=turned)

    def still(
        self,
        segment: Segment,
        columns: tuple[int, int],
        local: int,
        fields: dict[str, int],
        *,
        turned: bool = False,
    ) -> None:
        """WEIGHT of pixels of some column blocks of a map."""
        strides = {f"stride{level}": 0 for level in (0, 1) if fields.get(f"count{level}") == 1}
        self._weight(self.read(segment, *columns), local, fields | strides, turned=turned)

    def _weight(self, access: Access, local: int, fields: dict[str, int], *, turned: bool) -> None:
        flags = WeightFlag.TRANSPOSE if turned else 0
        fields = {"bank": access.bank, "local": local, "flags": flags, **fields}
        self.chip.emitter.emit(Opcode.WEIGHT, self.chip.phase, [access], **fields)
