"""Weights in pieces, and ranges that are cut."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pulsarray.compiler.training.lower.maps import Segment
from pulsarray.program import Tensor

__all__ = ["Pieces", "cut", "cut_within"]


def cut(total: int, most: int, at: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Ranges of at most ``most`` out of ``total`` that do not reach across any of ``at``."""
    low = 0
    while low < total:
        high = min(total, low + most, *(place for place in at if place > low))
        yield low, high
        low = high


def cut_within(part: tuple[int, int], at: Sequence[int]) -> Iterator[tuple[int, int]]:
    """A range in ranges that do not reach across any of ``at``."""
    for low, high in cut(part[1] - part[0], part[1], [place - part[0] for place in at]):
        yield part[0] + low, part[0] + high


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
