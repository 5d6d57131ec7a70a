"""The three products of training on the same words of memory: Y = X W, dX = dY W^T, dW = X^T dY.

No operand is ever stored transposed: weights pass the transposer on their way into the array for
dX, the streamed operand passes the other one for dW.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pulsarray.compiler.machine.emitter import Access, spans
from pulsarray.compiler.training.chip import TrainChip
from pulsarray.compiler.training.memory import Cache, Matrix, Segment
from pulsarray.isa import Opcode, StreamFlag, WeightFlag
from pulsarray.program import Tensor

__all__ = ["Pieces", "Products", "cut"]


def cut(total: int, most: int, at: list[int]) -> Iterator[tuple[int, int]]:
    """Ranges of at most ``most`` out of ``total`` that do not reach across any of ``at``."""
    low = 0
    while low < total:
        high = min(total, low + most, *(place for place in at if place > low))
        yield low, high
        low = high


class Pieces:
    """A layer's weights in pieces: some rows of one column block each.

    Parameters
    ----------
    tensor
        The weights, (K, N).
    ranges
        Blocks of rows of the pieces.
    dim
        D.
    """

    def __init__(self, tensor: Tensor, ranges: list[tuple[int, int]], dim: int) -> None:
        self.tensor, self.ranges, self._dim = tensor, ranges, dim
        self._found: dict[tuple[int, int], Segment] = {}

    def rows(self, part: tuple[int, int]) -> tuple[int, int]:
        """First row of a range, and its rows."""
        first = part[0] * self._dim
        return first, min(self.tensor.rows, part[1] * self._dim) - first

    def piece(self, column: int, part: tuple[int, int]) -> Segment:
        """The piece of a column block and a range."""
        first, rows = self.rows(part)
        key = (column, part[0])
        if key not in self._found:
            word = column * self.tensor.rows + first
            self._found[key] = Segment(self.tensor, word, rows, 1, self.tensor.rows, column)
        return self._found[key]


class Products:
    """Emits products; what happens to their sums is for others to say.

    Parameters
    ----------
    chip
        The machine.
    rows, weights
        Caches of matrices and of weights.
    """

    def __init__(self, chip: TrainChip, rows: Cache, weights: Cache) -> None:
        self.chip, self.rows, self.weights = chip, rows, weights
        self.config = chip.config

    @property
    def phase(self) -> int:
        """Number of the phase that instructions are counted for."""
        return self.rows.phase

    def forward(
        self,
        x: Matrix,
        pieces: Pieces,
        groups: Iterator[tuple[int, int]],
        drain: Callable[[tuple[int, int], int], None],
    ) -> None:
        """Y = X W, a group of column blocks after the other; ``drain`` takes each and its bank."""
        for group in groups:
            bank = self.chip.next_sums()
            for column in range(*group):
                for part in pieces.ranges:
                    piece = self.weights.get(pieces.piece(column, part))
                    self._weight_piece(piece, transpose=False)
                    segment = self.rows.get(x.segment(part[0]))
                    target = (column - group[0]) * x.rows
                    self._stream(segment, part, bank, target, first=not part[0])
            drain(group, bank)

    def backward(
        self,
        delta: Matrix,
        pieces: Pieces,
        drain: Callable[[tuple[int, int], int], None],
        between: Callable[[int, tuple[int, int], int], None],
    ) -> None:
        """Emit dX = dY W^T, a range of column blocks of X after the other.

        ``between`` is called when the array is done with a piece of weights, with its column, its
        range and the bank that the sums are in: other products may go on in other banks.
        """
        columns = delta.cuts()[-1]
        for part in pieces.ranges:
            bank = self.chip.next_sums()
            for column in range(columns):
                piece = self.weights.get(pieces.piece(column, part))
                self._weight_piece(piece, transpose=True)
                segment = self.rows.get(delta.segment(column))
                self._spread(segment, column, part[1] - part[0], bank, first=not column)
                between(column, part, bank)
            drain(part, bank)

    def _weight_piece(self, piece: Segment, *, transpose: bool) -> None:
        dim = self.config.dim
        tiles = -(-piece.rows // dim)
        window = {"row_step0": dim, "row_limit": piece.rows} if piece.rows % dim else {}
        base = piece.base(piece.first)
        self.chip.emitter.emit(
            Opcode.WEIGHT,
            self.phase,
            [Access(piece.bank, base, base + piece.rows, False)],
            bank=piece.bank,
            local=base,
            flags=WeightFlag.TRANSPOSE if transpose else 0,
            count0=tiles,
            stride0=dim if tiles > 1 else 0,
            **window,
        )

    def _stream(
        self, segment: Segment, part: tuple[int, int], bank: int, target: int, *, first: bool
    ) -> None:
        """Blocks of X against one tile each, all onto the same sums."""
        rows, blocks, base = segment.rows, part[1] - part[0], segment.base(part[0])
        self.chip.emitter.emit(
            Opcode.STREAM,
            self.phase,
            [
                Access(segment.bank, base, base + blocks * rows, False),
                Access(bank, target, target + rows, True, exclusive=True),
            ],
            source_bank=segment.bank,
            source=base,
            target_bank=bank,
            target=target,
            flags=0 if first else StreamFlag.ACCUMULATE,
            fresh=4 if first else 0,
            count2=blocks,
            source_stride2=rows if blocks > 1 else 0,
            **_line(rows),
        )

    def _spread(self, segment: Segment, column: int, tiles: int, bank: int, *, first: bool) -> None:
        """One block of dY against all tiles, each onto sums of its own."""
        rows, base = segment.rows, segment.base(column)
        self.chip.emitter.emit(
            Opcode.STREAM,
            self.phase,
            [
                Access(segment.bank, base, base + rows, False),
                Access(bank, 0, tiles * rows, True, exclusive=True),
            ],
            source_bank=segment.bank,
            source=base,
            target_bank=bank,
            flags=0 if first else StreamFlag.ACCUMULATE,
            count2=tiles,
            target_stride2=rows if tiles > 1 else 0,
            **_line(rows),
        )

    def gradient(
        self,
        x: Matrix,
        part: tuple[int, int],
        delta: Matrix,
        columns: tuple[int, int],
        bank: int,
        *,
        add: bool,
    ) -> None:
        """Emit dW = X^T dY for a range of blocks of X and a range of column blocks of dY.

        The sums of a column block are D rows for each block of X, one block after the other;
        with ``add`` they are added to what is there.
        """
        dim, rows = self.config.dim, x.rows
        stationary = self.rows.get(delta.segment(columns[0]))
        streamed = self.rows.get(x.segment(part[0]), avoid=[stationary.bank], pinned=[stationary])
        self.rows.part(streamed, stationary)
        tiles, width, blocks = -(-rows // dim), columns[1] - columns[0], part[1] - part[0]
        base = stationary.base(columns[0])
        window = {"row_step1": dim, "row_limit": rows} if rows % dim else {}
        self.chip.emitter.emit(
            Opcode.WEIGHT,
            self.phase,
            spans(stationary.bank, base, rows, width, rows, write=False),
            bank=stationary.bank,
            local=base,
            count0=width,
            stride0=rows if width > 1 else 0,
            count1=tiles,
            stride1=dim if tiles > 1 else 0,
            **window,
        )
        source = streamed.base(part[0])
        flags = StreamFlag.TRANSPOSE | (StreamFlag.ACCUMULATE if add else 0)
        steps = {}
        if rows % dim:
            flags |= StreamFlag.WINDOW_READ
            steps = {
                "row_step1": dim if tiles > 1 else 0,
                "row_step4": 1,
                "row_limit": rows,
                "column_limit": 1,
            }
        self.chip.emitter.emit(
            Opcode.STREAM,
            self.phase,
            [
                Access(streamed.bank, source, source + blocks * rows, False),
                Access(bank, 0, width * blocks * dim, True, exclusive=True),
            ],
            source_bank=streamed.bank,
            source=source,
            target_bank=bank,
            flags=flags,
            inner=2,
            fresh=0 if add else 2,
            count0=width,
            target_stride0=blocks * dim if width > 1 else 0,
            count1=tiles,
            source_stride1=dim if tiles > 1 else 0,
            count3=blocks,
            source_stride3=rows if blocks > 1 else 0,
            target_stride3=dim if blocks > 1 else 0,
            count4=dim,
            source_stride4=1,
            target_stride4=1,
            **steps,
        )


def _line(rows: int) -> dict[str, int]:
    """The innermost level: the rows of a block."""
    step = 1 if rows > 1 else 0
    return {"count4": rows, "source_stride4": step, "target_stride4": step, "inner": 1}
