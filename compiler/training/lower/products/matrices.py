"""Products of two maps: a matrix, or its transpose, for each row of pixels of an image."""

from __future__ import annotations

from itertools import product

from pulsarray.compiler.machine.array import Limits, Onto
from pulsarray.compiler.machine.emitter import Access
from pulsarray.compiler.machine.loops import Loop
from pulsarray.compiler.machine.views import Area
from pulsarray.compiler.training.lower.maps import FeatureMap
from pulsarray.compiler.training.lower.products.stream import Streams
from pulsarray.isa import StreamFlag

__all__ = ["MatrixProduct"]

_TURN = int(StreamFlag.TRANSPOSE)


class MatrixProduct(Streams):
    """Emits ``a @ b``, ``a @ b^T`` or ``a^T @ b``: pixels of a row are the rows of a matrix."""

    def emit(
        self,
        a: FeatureMap,
        b: FeatureMap,
        turned: tuple[bool, bool],
        tile: Area,
        bank: int,
    ) -> None:
        """Sums of a tile of the result's block, row by row of pixels.

        Parameters
        ----------
        a, b, turned
            The factors, and which of them is transposed, at most one.
        tile, bank
            Of the result, and where to.
        """
        across = a.columns if turned[0] else a.shape[1]
        one = self._turned if turned[0] else self._plain
        base = 0
        for at in product(range(*tile.images), range(*tile.rows)):
            one(a, b, turned[1], at, tile.blocks[0], (bank, base))
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
            read, onto = self._whole(a, image, number), Onto(bank, base, base + count)
            source = a.word(image, number, row)
            self.stream(read, source, onto, [], [Loop(count, 1, 1)], fresh=not number)

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
                limits = Limits(first, 0, total, 1) if total - first < dim else None
                target, read = base + number * dim, self._whole(a, image, number)
                self.stream(
                    read, a.word(image, number, row) + first, Onto(bank, target, target + dim),
                    [], [Loop(dim, 1, 1, int(limits is not None))],
                    fresh=not first, limits=limits, flags=_TURN,
                )  # fmt: skip

    def _whole(self, a: FeatureMap, image: int, number: int) -> Access:
        return self.read(a.at(image, number), number, number + 1)

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
