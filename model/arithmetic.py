"""The arithmetic of VECTOR (docs/machine.md, section 5), on words of lanes, exact to the bit.

Every function takes and gives integer arrays that broadcast against shape (words, D). All values
fit int64 except before the saturation of the first operation, where wide sums (16-bit operands)
may need Python's integers: arrays of dtype object, which NumPy computes with in the same way. The
values decide which, so usual ones never pay for it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pulsarray.config import Config
from pulsarray.isa import Alu

__all__ = [
    "add_exactly",
    "add_saturated",
    "bit_lengths",
    "clamp",
    "operate",
    "round_half_even",
    "round_shift",
    "round_tflite",
    "saturate",
    "signed",
    "symmetric",
    "wrap",
]

Lanes = npt.NDArray[Any]

INT64_MAX = (1 << 63) - 1
INT64_MIN = -(1 << 63)
_SAFE = 1 << 62


def signed(value: int, bits: int) -> int:
    """The low bits of a number as a signed one."""
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def wrap(values: Lanes, bits: int) -> npt.NDArray[np.int64]:
    """The low bits of int64 numbers as signed ones."""
    shift = np.int64(64 - bits)
    result: npt.NDArray[np.int64] = np.left_shift(values, shift) >> shift
    return result


def clamp(values: Lanes, low: int, high: int) -> Lanes:
    """``min(max(values, low), high)``, which is ``high`` where the limits are out of order."""
    return np.minimum(np.maximum(values, low), high)


def saturate(values: Lanes, bits: int) -> Lanes:
    """The nearest number of so many bits, full range."""
    if values.dtype != object and bits >= 64:
        return values
    return clamp(values, -(1 << (bits - 1)), (1 << (bits - 1)) - 1)


def symmetric(values: Lanes, bits: int) -> Lanes:
    """The nearest number of so many bits whose negative is one too."""
    limit = (1 << (bits - 1)) - 1
    return clamp(values, -limit, limit)


def bit_lengths(values: Lanes) -> npt.NDArray[np.int64]:
    """Bit lengths of positive numbers below 2^53, which a float64 holds exactly."""
    lengths: npt.NDArray[np.int64] = np.frexp(values.astype(np.float64))[1].astype(np.int64)
    return lengths


def add_exactly(a: Lanes, b: Lanes | int) -> Lanes:
    """``a + b``, in Python's integers if it may not fit."""
    if _magnitude(a) + _magnitude(np.asarray(b)) >= _SAFE:
        return a.astype(object) + b
    return a + b


def add_saturated(a: Lanes, b: Lanes) -> Lanes:
    """``sat(a + b, 64)`` of int64 numbers."""
    with np.errstate(over="ignore"):
        total = a + b
    overflow = (~(a ^ b) & (a ^ total)) < 0
    return np.where(overflow, np.where(a < 0, INT64_MIN, INT64_MAX), total)


def round_half_even(values: Lanes, shift: Lanes | int) -> Lanes:
    """``values / 2^shift`` rounded half to even, for shifts of 0 to 63."""
    floor = values >> shift
    rest = values - (floor << shift)
    half = np.asarray(1, values.dtype) << np.maximum(shift - 1, 0)
    up = (rest > half) | ((rest == half) & (floor & 1 == 1))
    result: Lanes = floor + (up & (shift > 0))
    return result


def _shift_left(values: Lanes, shift: Lanes) -> Lanes:
    """``sat(values * 2^shift, 64)`` for shifts of 0 and more."""
    limited = np.minimum(shift, 63)
    over = values > (np.int64(INT64_MAX) >> limited)
    under = values < (np.int64(INT64_MIN) >> limited)
    inside = np.where(over | under, 0, values) << limited
    return np.where(over, INT64_MAX, np.where(under, INT64_MIN, inside))


def round_shift(values: Lanes, shift: Lanes) -> Lanes:
    """``rne(values, shift)``; a negative shift multiplies, saturated to 64 bits."""
    right = round_half_even(values, np.maximum(shift, 0))
    if np.all(shift >= 0):
        return right
    return np.where(shift < 0, _shift_left(values, np.maximum(-shift, 0)), right)


def round_tflite(values: Lanes, shift: Lanes) -> Lanes:
    """TensorFlow Lite's two roundings, as in gemmlowp: to 2^-31, then half away from zero."""
    widened = _shift_left(values, np.maximum(31 - shift, 0))
    # floor((v + 2^30) / 2^31) without the 65th bit.
    high = (widened >> 31) + ((widened >> 30) & 1)
    exponent = np.maximum(shift - 31, 0)
    half = (np.int64(1) << exponent) >> 1
    return np.where(exponent > 0, (high + half - (high < 0)) >> exponent, high)


def operate(alu: Alu, a: Lanes, b: Lanes, config: Config) -> npt.NDArray[np.int64]:
    """The first operation: ``sat(op(a, b), alu_bits)``."""
    limit = max(_magnitude(a), _magnitude(b))
    factor = 1 << config.operand_bits if alu in (Alu.MUL, Alu.DSIGMOID, Alu.DTANH) else 2
    if limit * factor >= _SAFE:
        a, b = a.astype(object), b.astype(object)
    result = saturate(np.asarray(_result(alu, a, b, config.operand_bits)), config.alu_bits)
    return result.astype(np.int64)


def _magnitude(values: Lanes) -> int:
    return max(abs(int(values.max())), abs(int(values.min())))


def _result(alu: Alu, a: Lanes, b: Lanes, bits: int) -> Lanes:
    fraction = bits - 1
    match alu:
        case Alu.PASS:
            return a
        case Alu.ADD:
            return a + b
        case Alu.SUB:
            return a - b
        case Alu.RSUB:
            return b - a
        case Alu.MAX:
            return np.asarray(np.maximum(a, b))
        case Alu.MIN:
            return np.asarray(np.minimum(a, b))
        case Alu.GATE:
            return np.where(b > 0, a, 0)
        case Alu.EQUAL:
            return np.asarray(a == b, np.int64)
        case Alu.GREATER:
            return np.asarray(a > b, np.int64)
    operand = saturate(b, bits).astype(np.int64)
    if alu is Alu.DSIGMOID:
        slope = round_half_even(operand * ((1 << fraction) - operand), fraction - 2)
    elif alu is Alu.DTANH:
        slope = round_half_even((1 << (2 * fraction)) - operand * operand, fraction)
    else:
        slope = operand
    return np.asarray(a * saturate(slope, bits).astype(a.dtype))
