"""Mantissas with a shared exponent (docs/training.md): rounding, limits, exact sums.

Every array is int64. Values reach 2^63 only where a layer has more than 2^17 outputs, far beyond
what a machine holds, so no product overflows.
"""

from __future__ import annotations

from collections.abc import Callable
from math import frexp
from typing import Any

import numpy as np
import numpy.typing as npt

from pulsarray.errors import InputError

__all__ = [
    "LARGEST",
    "blen",
    "exact",
    "factor",
    "in_floats",
    "limited",
    "rne",
    "round_right",
    "sym",
]

Array = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]

LARGEST = (1 << 15) - 1
"""Largest mantissa of 16 bits."""
_SHIFTS = 63
_WIDE = 1 << 47
_EXACT = 1 << 53
_ONE = 1 << 15


def round_right(values: Ints, shift: int | Ints) -> Ints:
    """``values / 2^shift`` rounded half to even, for shifts 1..63 that broadcast to values."""
    one = np.int64(1)
    floor = values >> shift
    rest = values - (floor << shift)
    half = one << (np.asarray(shift, np.int64) - one)
    # An odd quotient goes up from the half itself.
    return np.asarray(floor + (rest > half - (floor & 1)), np.int64)


def rne(values: Ints, shift: int) -> Ints:
    """``values / 2^shift`` rounded half to even, saturated to 48 bits; the shift to -63..63."""
    if shift > 0:
        rounded = round_right(values, min(shift, _SHIFTS))
        return np.clip(rounded, -_WIDE, _WIDE - 1)
    left = min(-shift, _SHIFTS)
    moved = np.where(values > (_WIDE - 1) >> left, _WIDE - 1, values << left)
    return np.asarray(np.where(values < -(_WIDE >> left), -_WIDE, moved), np.int64)


def sym(values: Ints, bits: int) -> Ints:
    """Saturated to +-(2^(bits-1) - 1)."""
    most = (1 << (bits - 1)) - 1
    return np.clip(values, -most, most)


def blen(values: Ints) -> int:
    """Bit length of the largest magnitude; 0 for zeros."""
    return max(int(values.max()), -int(values.min())).bit_length()


def limited(exponent: int) -> int:
    """An exponent cut to -128..127."""
    return min(max(exponent, -128), 127)


def exact(function: Callable[..., Array], *arrays: Ints) -> Ints:
    """Sums of products of integers by a definition in real numbers, fast where none is rounded."""
    terms = max(array.size for array in arrays)
    if terms << sum(map(blen, arrays)) < _EXACT:
        return in_floats(function, *arrays)
    return function(*arrays).astype(np.int64)


def in_floats(function: Callable[..., Array], *arrays: Ints) -> Ints:
    """A definition in real numbers of integers that never come to 2^53."""
    return function(*(array.astype(np.float64) for array in arrays)).astype(np.int64)


def factor(value: float, what: str) -> tuple[int, int]:
    """A positive number as mantissa, 2^14 to below 2^15, and exponent.

    Raises
    ------
    InputError
        If the number is not positive or its exponent is not in -128..127.
    """
    if not (value > 0 and value < np.inf):
        raise InputError(f"{what}: must be more than 0 and finite, not {value:g}")
    fraction, exponent = frexp(value)
    mantissa = round(fraction * _ONE)
    if mantissa == _ONE:
        mantissa, exponent = _ONE // 2, exponent + 1
    if exponent - 15 != limited(exponent - 15):
        raise InputError(f"{what}: must be within 2^-114 and 2^141, not {value:g}")
    return mantissa, exponent - 15
