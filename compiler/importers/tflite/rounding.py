"""The rounding of TensorFlow Lite's reference kernels, as gemmlowp defines it, on 32-bit integers.

A pair (m, s) means ``m / 2^s``: TensorFlow Lite's multiplier m / 2^31 times 2^(31 - s).
"""

from __future__ import annotations

from math import floor, frexp

import numpy as np
import numpy.typing as npt

__all__ = ["high_multiply", "quantize_multiplier", "rounding_shift", "scale_sums"]

Ints = npt.NDArray[np.int64]
_BITS = 31


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


def quantize_multiplier(ratio: float) -> tuple[int, int]:
    """TensorFlow Lite's QuantizeMultiplier of a ratio of at least 0, as (m, s).

    m has 31 bits with the highest one set; it is 0 for a ratio below 2^-32.
    """
    fraction, exponent = frexp(ratio)
    multiplier = floor(fraction * (1 << _BITS) + 0.5)  # half way up, as C++ rounds
    if multiplier == 1 << _BITS:
        multiplier, exponent = multiplier >> 1, exponent + 1
    if multiplier == 0 or exponent < -_BITS:
        return 0, _BITS
    return multiplier, _BITS - exponent
