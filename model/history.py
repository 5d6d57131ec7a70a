"""Who last read and wrote each word of a bank, or of memory, and which words are known at all."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pulsarray.model.clocks import Clock
from pulsarray.model.loops import Nest, Words
from pulsarray.model.uses import WRITE, Selected

__all__ = ["History"]


class History:
    """A bank's past.

    Parameters
    ----------
    depth
        Words of the bank.
    known
        Whether the values of all of them are known before the run.
    """

    def __init__(self, depth: int, *, known: bool) -> None:
        self.depth = depth
        self._known = np.full(depth, known)
        self._all_known = known
        self._last: dict[tuple[int, int], npt.NDArray[np.int32]] = {}
        self._newest: dict[tuple[int, int], int] = {}

    def rival(
        self, unit: int, access: int, words: Selected, clock: Clock
    ) -> tuple[int, int] | None:
        """An instruction of another unit that may not be done with a word, and the word."""
        for (other, earlier), newest in self._newest.items():
            if newest <= clock[other] or other == unit or not WRITE & (access | earlier):
                continue
            last = self._last[other, earlier]
            if _of(last, words).max(initial=-1) > clock[other]:
                rows = _rows(words)
                word = int(rows[last[rows] > clock[other]][0])
                return int(last[word]), word
        return None

    def known(self, words: Selected) -> bool:
        """Whether the values of all of the words are known."""
        return self._all_known or bool(_of(self._known, words).all())

    def which(self, rows: Words) -> npt.NDArray[np.bool_]:
        """For each of the words whether its value is known."""
        known: npt.NDArray[np.bool_] = self._known[rows]
        return known

    def note(self, unit: int, access: int, words: Selected, index: int) -> None:
        """An instruction uses words; those after it in its unit have larger indices."""
        key = unit, access
        if key not in self._last:
            self._last[key] = np.full(self.depth, -1, np.int32)
        self._newest[key] = index
        _set(self._last[key], words, index)

    def learn(self, words: Selected, known: npt.NDArray[np.bool_] | None) -> None:
        """What is in words now is known, or is so word by word."""
        if not self._all_known:
            _set(self._known, words, True if known is None else known)


def _of(array: npt.NDArray[np.generic], words: Selected) -> npt.NDArray[np.generic]:
    return words.view(array) if isinstance(words, Nest) else array[words]


def _set(
    array: npt.NDArray[np.generic], words: Selected, value: int | npt.NDArray[np.bool_]
) -> None:
    if isinstance(words, Nest):
        words.view(array)[...] = value
    else:
        array[words] = value


def _rows(words: Selected) -> npt.NDArray[np.int64]:
    return words.rows() if isinstance(words, Nest) else words
