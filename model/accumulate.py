"""Sums of STREAM into an accumulator bank: overwritten or added, modulo 2^acc_bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pulsarray.isa import Instruction, StreamFlag
from pulsarray.model.addresses import stream_fresh, stream_inside, stream_words
from pulsarray.model.arithmetic import wrap
from pulsarray.model.loops import Nest, nest

__all__ = ["accumulate"]

Words = npt.NDArray[np.int64]
_EXACT_WORDS = 1 << 16
"""Sums of 37 bits that a float64 adds exactly."""


def accumulate(
    bank: Words, sums: npt.NDArray[np.floating[Any]], instruction: Instruction, acc_bits: int
) -> None:
    """Bring the sums of every word of a STREAM to their target words, in order.

    Parameters
    ----------
    bank
        Accumulator bank, int64, shape (depth, D); changed in place.
    sums
        Integers of at most 37 bits as floating point, shape (words, D).
    instruction, acc_bits
        The STREAM, and the width of a sum.
    """
    if not _in_groups(bank, sums, instruction, acc_bits):
        _word_by_word(bank, sums.astype(np.int64), instruction, acc_bits)


def _in_groups(
    bank: Words, sums: npt.NDArray[np.floating[Any]], instruction: Instruction, acc_bits: int
) -> bool:
    """Add up the words of each target row first; returns whether that was possible.

    It is where the levels that stay on a row (stride 0) are all in ``fresh``, so that a row is
    overwritten by its first word or never, and the other levels never meet on a row.
    """
    if instruction["flags"] & StreamFlag.WINDOW_WRITE:
        return False
    words = stream_words(instruction, "target")
    counts, strides = words.counts, words.strides
    stay = tuple(i for i in range(5) if counts[i] > 1 and not strides[i])
    adds = instruction["flags"] & StreamFlag.ACCUMULATE
    fresh = instruction["fresh"]
    if len(sums) > _EXACT_WORDS or not (adds or all(fresh >> level & 1 for level in stay)):
        return False
    rows = _rows_of_groups(words, stay, len(bank))
    if rows is None:
        return False
    total = sums
    if stay:
        total = sums.reshape(*counts, -1).sum(axis=stay, dtype=np.float64)
    values = total.reshape(len(rows), -1).astype(np.int64)
    if not adds:
        moving = [1 if level in stay else count for level, count in enumerate(counts)]
        old = _not_fresh(moving, fresh)
        values[old] += bank[rows[old]]
    else:
        values += bank[rows]
    bank[rows] = wrap(values, acc_bits)
    return True


def _rows_of_groups(words: Nest, stay: tuple[int, ...], depth: int) -> Words | None:
    """Rows of the levels that move, if they are all different."""
    counts = [1 if level in stay else count for level, count in enumerate(words.counts)]
    rows = Nest(words.base, counts, words.strides).rows()
    met = np.zeros(depth, np.bool_)
    met[rows] = True
    return rows if np.count_nonzero(met) == rows.size else None


def _not_fresh(counts: list[int], fresh: int) -> npt.NDArray[np.bool_]:
    """Of the rows of the levels that move, those that no word overwrites."""
    steps = [fresh >> level & 1 for level in range(len(counts))]
    return nest(counts, steps) > 0


def _word_by_word(bank: Words, sums: Words, instruction: Instruction, acc_bits: int) -> None:
    """Any STREAM: of a row's words, the last that overwrites counts, with those after it."""
    rows, fresh = stream_words(instruction, "target").rows(), stream_fresh(instruction)
    if instruction["flags"] & StreamFlag.WINDOW_WRITE:
        written = np.broadcast_to(stream_inside(instruction), rows.shape)
        rows, fresh, sums = rows[written], fresh[written], sums[written]
    if fresh.any():
        order = np.arange(rows.size)
        last = np.full(len(bank), -1)
        np.maximum.at(last, rows[fresh], order[fresh])
        bank[last >= 0] = 0
        counted = order >= last[rows]
        rows, sums = rows[counted], sums[counted]
    np.add.at(bank, rows, sums)
    bank[rows] = wrap(bank[rows], acc_bits)
