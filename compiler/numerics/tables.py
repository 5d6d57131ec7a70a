"""Function tables of 16-bit machines: piecewise linear, 256 segments, coefficients in integers.

``y = sat16(rne(offset[i] + slope[i] * f, shift))`` with i the segment of the 16-bit argument and f
its place in the segment (docs/machine.md, VECTOR, TABLE). On each segment the line is the
Chebyshev (minimax) one, which for a function without inflection there is parallel to the chord and
halves the largest error of the chord.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from math import erf, pi, sqrt

import numpy as np
import numpy.typing as npt

from pulsarray.config import Config

__all__ = ["TABLES", "Table", "table"]

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

_SLOPE_LIMIT = (1 << 15) - 1
_OFFSET_LIMIT = (1 << 31) - 1
_SAMPLES = 65


@dataclass(frozen=True, eq=False)
class Table:
    """One function.

    Parameters
    ----------
    offsets, slopes
        int64, one a segment, in 32 and 16 bits.
    shift
        Right shift of the line's value.
    """

    offsets: Integers
    slopes: Integers
    shift: int

    def __call__(self, arguments: Integers) -> Integers:
        """The function of 16-bit arguments, any shape."""
        bits = 16 - (len(self.offsets) - 1).bit_length()
        place = np.asarray(arguments, np.int64) + (1 << 15)
        segment, fraction = place >> bits, place & ((1 << bits) - 1)
        line = self.offsets[segment] + self.slopes[segment] * fraction
        half = (1 << self.shift) >> 1
        floor = line >> self.shift
        rest = line - (floor << self.shift)
        up = (rest > half) | ((rest == half) & (floor & 1 == 1)) if self.shift else False
        result: Integers = np.clip(floor + up, -(1 << 15), (1 << 15) - 1)
        return result

    def words(self, config: Config) -> npt.NDArray[np.uint8]:
        """The table's planes as they lie in memory: low and high half of offsets, slopes."""
        entries = config.word_bytes // config.operand_bytes
        planes = np.zeros((3, config.table_words * entries), np.int64)
        count = len(self.offsets)
        planes[0, :count] = self.offsets & 0xFFFF
        planes[1, :count] = self.offsets >> 16
        planes[2, :count] = self.slopes
        return (planes & 0xFFFF).astype("<u2").reshape(-1).view(np.uint8)


def _sigmoid(u: Floats) -> Floats:
    return 32768.0 / (1.0 + np.exp(-u / 4096.0))


def _tanh(u: Floats) -> Floats:
    return 32768.0 * np.tanh(u / 8192.0)


def _exp(u: Floats) -> Floats:
    return 32768.0 * np.exp2(-(u + 32768.0) / 65536.0)


def _reciprocal(u: Floats) -> Floats:
    return 2.0**30 / ((u + 3 * 32768.0) / 2.0)


def _log2(u: Floats) -> Floats:
    return 65536.0 * (np.log2((u + 3 * 32768.0) / 65536.0) - 0.5)


_erf = np.vectorize(erf, otypes=[np.float64])
_CUBIC = 0.044715


def _gelu(u: Floats) -> Floats:
    return np.asarray(16384.0 * (1.0 + _erf(u / 4096.0 / sqrt(2.0))))


def _gelu_slope(u: Floats) -> Floats:
    x = u / 4096.0
    return 0.5 * _gelu(u) + 16384.0 * x * np.exp(-0.5 * x * x) / sqrt(2.0 * pi)


def _gelu_tanh(u: Floats) -> Floats:
    x = u / 4096.0
    return 16384.0 * (1.0 + np.tanh(sqrt(2.0 / pi) * (x + _CUBIC * x**3)))


def _gelu_tanh_slope(u: Floats) -> Floats:
    x, gate = u / 4096.0, _gelu_tanh(u) / 32768.0
    inner = sqrt(2.0 / pi) * (1.0 + 3.0 * _CUBIC * x * x)
    return 16384.0 * (gate + x * 2.0 * gate * (1.0 - gate) * inner)


def _silu(u: Floats) -> Floats:
    return _sigmoid(2.0 * u)


def _silu_slope(u: Floats) -> Floats:
    gate = _silu(u) / 32768.0
    return 16384.0 * gate * (1.0 + u / 2048.0 * (1.0 - gate))


def _spike_slope(u: Floats) -> Floats:
    return 16384.0 / (1.0 + (pi * u / 8192.0) ** 2)


TABLES: dict[str, Callable[[Floats], Floats]] = {
    "sigmoid": _sigmoid,
    "tanh": _tanh,
    "exp": _exp,
    "reciprocal": _reciprocal,
    "log2": _log2,
    "gelu": _gelu,
    "gelu slope": _gelu_slope,
    "gelu-tanh": _gelu_tanh,
    "gelu-tanh slope": _gelu_tanh_slope,
    "silu": _silu,
    "silu slope": _silu_slope,
    "surrogate_spike slope": _spike_slope,
}
"""Mantissa of the result as a function of the mantissa of the argument: sigmoid of an argument at
2^-12 and tanh at 2^-13, results at 2^-15; 2^-f of f - 1/2 at 2^-16; 2^30/m and, at 2^-16,
log2(m / 2^15) - 1/2 of 2 m - 3 x 2^15; gates at 2^-15, normal distributions of an argument at 2^-12
for gelu and a sigmoid at 2^-11 for silu; and at 2^-14 what gelu, silu and, of an argument at 2^-13,
spikes have as derivatives."""


@cache
def table(name: str, segments: int) -> Table:
    """The table of a function of :data:`TABLES`, with so many segments."""
    function, width = TABLES[name], 65536 // segments
    starts = np.arange(segments) * float(width) - 32768.0
    points = starts[:, None] + np.linspace(0, width, _SAMPLES)
    values = function(points)
    slopes = (values[:, -1] - values[:, 0]) / width
    rest = values - slopes[:, None] * (points - starts[:, None])
    offsets = (rest.max(axis=1) + rest.min(axis=1)) / 2
    shift = _largest_shift(slopes, offsets)
    scale = float(1 << shift)
    slope_codes = np.round(slopes * scale).astype(np.int64)
    # The rounded slope turns the line about its middle, not about its start.
    middle = offsets + (slopes - slope_codes / scale) * (width - 1) / 2
    return Table(np.round(middle * scale).astype(np.int64), slope_codes, shift)


def _largest_shift(slopes: Floats, offsets: Floats) -> int:
    """The finest scale at which every coefficient fits its width."""
    shift = 0
    while (
        np.abs(slopes).max() * 2 ** (shift + 1) <= _SLOPE_LIMIT
        and np.abs(offsets).max() * 2 ** (shift + 1) <= _OFFSET_LIMIT
    ):
        shift += 1
    return shift
