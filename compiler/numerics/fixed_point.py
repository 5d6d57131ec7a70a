"""Real factors as integers: a multiplier and a right shift."""

from __future__ import annotations

from math import floor, frexp

__all__ = ["fixed_point", "quantize_multiplier"]

_SHIFTS = 63
_TFLITE_BITS = 31


def fixed_point(ratio: float, bits: int) -> tuple[int, int]:
    """Integers with ``multiplier / 2^shift`` nearest to a positive ratio.

    The multiplier has ``bits`` bits with the highest one set, unless the ratio is too small for
    the largest shift.
    """
    fraction, exponent = frexp(ratio)
    multiplier, shift = round(fraction * (1 << bits)), bits - exponent
    if multiplier == 1 << bits:
        multiplier, shift = multiplier >> 1, shift - 1
    if shift > _SHIFTS:
        multiplier, shift = multiplier >> min(bits, shift - _SHIFTS), _SHIFTS
    return multiplier, max(shift, -_SHIFTS)


def quantize_multiplier(ratio: float) -> tuple[int, int]:
    """TensorFlow Lite's QuantizeMultiplier of a ratio of at least 0, as (m, s) for ``m / 2^s``.

    m has 31 bits with the highest one set; it is 0 for a ratio below 2^-32.
    """
    fraction, exponent = frexp(ratio)
    multiplier = floor(fraction * (1 << _TFLITE_BITS) + 0.5)  # half way up, as C++ rounds
    if multiplier == 1 << _TFLITE_BITS:
        multiplier, exponent = multiplier >> 1, exponent + 1
    if multiplier == 0 or exponent < -_TFLITE_BITS:
        return 0, _TFLITE_BITS
    return multiplier, _TFLITE_BITS - exponent
