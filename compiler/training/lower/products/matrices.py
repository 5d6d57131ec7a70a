"""Products of two maps: a matrix, or its transpose, for each row of pixels of an image."""

from __future__ import annotations

from pulsarray.compiler.machine.loops import Loop
from pulsarray.compiler.training.lower.geometry import loops
from pulsarray.compiler.training.lower.maps import FeatureMap, Tile
from pulsarray.compiler.training.lower.products.stream import ACCUMULATE, Limits, Streams
from pulsarray.isa import StreamFlag

__all__ = ["MatrixProduct"]

_READ, _TURN = int(StreamFlag.WINDOW_READ), int(StreamFlag.TRANSPOSE)


class MatrixProduct(Streams):
    """Emits ``a @ b``, ``a @ b^T`` or ``a^T @ b``: pixels of a row are the rows of a matrix."""

    def emit(
        self,
        a: FeatureMap,
        b: FeatureMap,
        turned: tuple[bool, bool],
        tile: Tile,
        block: int,
        bank: int,
    ) -> None:
        """Sums of a tile of the result's block, row by row of pixels.

        Parameters
        ----------
        a, b, turned
            The factors, and which of them is transposed, at most one.
        tile, block, bank
            Of the result, and where to.
        """
        across = a.columns if turned[0] else a.shape[1]
        one = self._turned if turned[0] else self._plain
        base = 0
        for image in range(tile.low, tile.high):
            for row in range(tile.top, tile.bottom):
                one(a, b, turned[1], (image, row), block, (bank, base))
                base += across

    def _plain(
        self,
        a: FeatureMap,
        b: FeatureMap,
        transposed: bool,
        at: tuple[int, int],
        block: int,
        to: tuple[int, int],
    ) -> None:
        """Rows of a against b or its transpose, a block of a's channels at a time."""
        (image, row), (bank, base), count = at, to, a.shape[1]
        for number in range(a.cuts()[-1]):
            place = (number, block) if transposed else (block, number)
            self._apart(a, b, image, number, place[0])
            self._still(b, at, place, turned=transposed)
            sums, fields = (bank, base, base + count), loops([], [Loop(count, 1, 1)])
            read = self.read(a.at(image, number), number, number + 1)
            source = a.word(image, number, row)
            self.stream(read, source, sums, base, ACCUMULATE if number else 0, fields)

    def _turned(
        self,
        a: FeatureMap,
        b: FeatureMap,
        _transposed: bool,
        at: tuple[int, int],
        block: int,
        to: tuple[int, int],
    ) -> None:
        """Columns of a against b, D pixels at a time; what is beyond them is written over."""
        (image, row), (bank, base), dim = at, to, self.dim
        total = a.shape[1]
        for first in range(0, total, dim):
            for number in range(a.cuts()[-1]):
                self._apart(a, b, image, number, block)
                self._still(b, at, (block, first // dim), turned=False)
                cut = total - first < dim
                fields, flags = loops([], [Loop(dim, 1, 1, int(cut))]), _TURN
                if cut:
                    flags |= _READ
                    fields |= Limits(first, 0, total, 1).fields
                target = base + number * dim
                read = self.read(a.at(image, number), number, number + 1)
                source = a.word(image, number, row) + first
                sums = bank, target, target + dim
                flags |= ACCUMULATE if first else 0
                self.stream(read, source, sums, target, flags, fields)

    def _apart(self, a: FeatureMap, b: FeatureMap, image: int, number: int, block: int) -> None:
        """Have both on chip, in different banks: they are read at the same time."""
        still = self.rows.get(b.at(image, block))
        segment = self.rows.get(a.at(image, number), avoid=[still.bank], pinned=[still])
        self.rows.part(segment, still)

    def _still(
        self, b: FeatureMap, at: tuple[int, int], place: tuple[int, int], *, turned: bool
    ) -> None:
        """WEIGHT of a tile: D pixels of a channel block, zeros beyond the row."""
        (image, row), (block, number) = at, place
        segment, first, dim = b.at(image, block), number * self.dim, self.dim
        left = b.shape[1] - first
        fields = {"row_limit": left} if left < dim else {}
        local = b.word(image, block, row) + first
        self.still(segment, (block, block + 1), local, fields, turned=turned)
