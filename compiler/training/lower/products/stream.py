"""WEIGHT and STREAM as all products use them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pulsarray.compiler.lower.windows import Taps
from pulsarray.compiler.machine.array import Onto
from pulsarray.compiler.machine.emitter import Access
from pulsarray.compiler.machine.loops import Loop
from pulsarray.compiler.training.lower.geometry import Geometry
from pulsarray.compiler.training.lower.lowering import Lowering
from pulsarray.compiler.training.lower.maps import Segment
from pulsarray.isa import WeightFlag

__all__ = ["Streams"]


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
        read: Access,
        source: int,
        onto: Onto,
        outer: Sequence[Loop],
        inner: Sequence[Loop],
        **how: Any,
    ) -> None:
        """STREAM from a word on."""
        self.chip.stream(self.chip.phase, [read], source, onto, outer, inner, **how)

    def tiles(
        self, geometry: Geometry, piece: Segment, part: tuple[int, int], taps: Taps, *, turned: bool
    ) -> None:
        """WEIGHT of a piece's tiles in the order of taps: kernel row, kernel column, block."""
        dim, width = self.dim, geometry.window.kernel[1]
        kh, kw, blocks = taps.counts
        tile = (taps.rows[0] * width + taps.columns[0]) * geometry.blocks + taps.blocks[0]
        base = piece.base(piece.first)
        first, count = (tile - part[0]) * dim, kh * kw * blocks
        step = dim if blocks == geometry.blocks or kh * kw == 1 else geometry.blocks * dim
        fields = {"count0": count, "stride0": step}
        if first + (count - 1) * step + dim > piece.rows:
            fields |= {"row_step0": dim, "row_limit": piece.rows - first}
        read = Access(piece.bank, base, base + piece.rows, False)
        self.weigh(read, base + first, fields, turned=turned)

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
        self.weigh(self.read(segment, *columns), local, fields, turned=turned)

    def weigh(self, read: Access, local: int, fields: dict[str, int], *, turned: bool) -> None:
        """WEIGHT from a word on."""
        flags = int(WeightFlag.TRANSPOSE) if turned else 0
        self.chip.weigh(self.chip.phase, [read], local, flags=flags, **fields)
