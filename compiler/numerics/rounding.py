"""From wide integers to narrow ones: rounded once, half to even, or as TensorFlow Lite does.

TensorFlow Lite's reference kernels round as gemmlowp defines it (Jacob et al. 2018), on 32-bit
integers: a saturating rounding doubling high multiply, then a rounding right shift. A pair (m, s)
means ``m / 2^s``: TensorFlow Lite's multiplier m / 2^31 times 2^(31 - s).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["high_multiply", "requantize", "round_half_even", "rounding_shift", "scale_sums"]

Ints = npt.NDArray[np.int64]
_BITS = 31


def requantize(sums: Ints, multiplier: npt.ArrayLike, shift: npt.ArrayLike) -> Ints:
    """``sums * multiplier / 2^shift``, rounded half to even, exact for products below 2^63."""
    return round_half_even(sums * np.asarray(multiplier, np.int64), np.asarray(shift, np.int64))


def round_half_even(values: Ints, shift: npt.NDArray[np.int64]) -> Ints:
    """``values / 2^shift`` rounded half to even; for a negative shift saturated to 2^62."""
    right = np.maximum(shift, 0)
    quotient = values >> right
    rest = values - (quotient << right)
    half = np.where(right > 0, np.int64(1) << np.maximum(right - 1, 0), np.int64(1) << 62)
    up = (rest > half) | ((rest == half) & (quotient & 1 == 1))
    rounded = quotient + up
    left = np.maximum(-shift, 0)
    room = (np.int64(1) << 62) >> left
    saturated = np.sign(values) << 62
    shifted = np.where(np.abs(values) < room, values << left, saturated)
    return np.asarray(np.where(shift >= 0, rounded, shifted), np.int64)


def high_multiply(left: npt.ArrayLike, right: npt.ArrayLike) -> Ints:
    """SaturatingRoundingDoublingHighMul: ``left * right / 2^31``, half way up to +infinity.

    gemmlowp adds a nudge by sign and truncates; one floor of the product plus a half is the same.
    Only (-2^31) * (-2^31) saturates.
    """
    product = np.asarray(left, np.int64) * np.asarray(right, np.int64)
    nearest = (product + (1 << (_BITS - 1))) >> _BITS
    return np.asarray(np.minimum(nearest, (1 << _BITS) - 1), np.int64)


def rounding_shift(values: npt.ArrayLike, exponent: npt.ArrayLike) -> Ints:
    """RoundingDivideByPOT: ``values / 2^exponent``, half way away from zero."""
    values, exponent = np.asarray(values, np.int64), np.asarray(exponent, np.int64)
    mask = (np.int64(1) << exponent) - 1
    threshold = (mask >> 1) + (values < 0)
    return np.asarray((values >> exponent) + ((values & mask) > threshold), np.int64)


def scale_sums(sums: npt.ArrayLike, multiplier: npt.ArrayLike, shift: npt.ArrayLike) -> Ints:
    """MultiplyByQuantizedMultiplier: ``sums * multiplier / 2^shift``.

    For a shift below 31 the sums are shifted left first.
    """
    shift = np.asarray(shift, np.int64)
    shifted = np.asarray(sums, np.int64) << np.maximum(_BITS - shift, 0)
    return rounding_shift(high_multiply(shifted, multiplier), np.maximum(shift - _BITS, 0))
