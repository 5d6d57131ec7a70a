"""The exponent registers with their statistics, and the controller that adapts them.

docs/machine.md, section 5, EXPONENT and SCALE.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pulsarray.config import EXPONENTS
from pulsarray.isa import Instruction

__all__ = ["Scales"]

_BITS = 8
_COUNT, _LIMIT, _OVERFLOW, _NOTED, _STATISTIC = 8, 11, 12, 13, 16
_HEADROOM = 14
_PATIENCE = 8


def _saturated(value: int) -> int:
    return max(-(1 << (_BITS - 1)), min((1 << (_BITS - 1)) - 1, value))


def _signed(value: int) -> int:
    value &= (1 << _BITS) - 1
    return value - (1 << _BITS) if value >> (_BITS - 1) else value


class Scales:
    """All registers; register 0 stays 0.

    Members
    -------
    exponents, counts, statistics
        X, count and L of every register.
    noted, limits, overflows
        Bits of every register.
    """

    def __init__(self) -> None:
        self.exponents, self.counts, self.statistics = ([0] * EXPONENTS for _ in range(3))
        self.noted, self.limits, self.overflows = ([False] * EXPONENTS for _ in range(3))

    def set(self, instruction: Instruction) -> None:
        """EXPONENT."""
        x, register = self.exponents, instruction["register"]
        value = _saturated(instruction["value"] + x[instruction["a"]] + x[instruction["b"]])
        x[register] = max(x[register], value) if instruction["maximum"] else value

    def note(self, register: int, bits: int, exponent: int) -> None:
        """Note a largest magnitude: its bit length, of 0 nothing, and the exponent of its unit."""
        if register and bits:
            magnitude = _saturated(bits + exponent)
            known = self.statistics[register] if self.noted[register] else magnitude
            self.statistics[register] = max(magnitude, known)
            self.noted[register] = True

    def limit(self, register: int) -> None:
        """Note that a weight is near its limit."""
        if register:
            self.limits[register] = True

    def read(self, first: int, lanes: npt.NDArray[np.int64]) -> None:
        """Take registers from the lanes of a word."""
        for register, lane in self._lanes(first, lanes):
            self.exponents[register] = _signed(lane)
            self.counts[register] = lane >> _COUNT & 7
            self.limits[register] = bool(lane >> _LIMIT & 1)
            self.overflows[register] = bool(lane >> _OVERFLOW & 1)
            self.noted[register] = bool(lane >> _NOTED & 1)
            self.statistics[register] = _signed(lane >> _STATISTIC)

    def write(self, first: int, dim: int) -> npt.NDArray[np.int64]:
        """The lanes of a word with registers in them."""
        word = np.zeros(dim, np.int64)
        for register, _ in self._lanes(first, word):
            word[register - first] = (
                self.exponents[register] & 0xFF
                | self.counts[register] << _COUNT
                | self.limits[register] << _LIMIT
                | self.overflows[register] << _OVERFLOW
                | self.noted[register] << _NOTED
                | (self.statistics[register] & 0xFF) << _STATISTIC
            )
        return word

    def _lanes(self, first: int, lanes: npt.NDArray[Any]) -> list[tuple[int, int]]:
        pairs = enumerate(lanes.tolist(), first)
        return [(register, lane) for register, lane in pairs if 0 < register < EXPONENTS]

    def adapt(self) -> None:
        """The controller: up at once, down by one after eight steps with room."""
        for register in range(1, EXPONENTS):
            if self.noted[register]:
                self._adapt(register)

    def _adapt(self, register: int) -> None:
        peak, magnitude = self.exponents[register] + _HEADROOM, self.statistics[register]
        self.overflows[register] |= magnitude > peak + 1
        count = self.counts[register] + 1
        if magnitude >= peak:
            peak, count = magnitude, 0
        elif count == _PATIENCE:
            peak, count = peak - 1, 0
        self.exponents[register], self.counts[register] = _saturated(peak - _HEADROOM), count
        self.noted[register] = False
