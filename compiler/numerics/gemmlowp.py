"""Functions in fixed point as gemmlowp has them, on which TensorFlow Lite's int8 kernels rely.

A number with n integer bits is an integer of 32 bits that counts steps of 2^(n - 31).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pulsarray.compiler.numerics.rounding import high_multiply, rounding_shift

__all__ = ["ALPHA_D", "ALPHA_F", "ALPHA_I", "ALPHA_N", "LOG_2", "ONE_LESS", "RECIPROCAL_FACTOR",
           "RECIPROCAL_START", "ROOT_OF_HALF", "ROOT_OF_ROOT", "THREE_HALVES", "exponential",
           "inverse_root", "logarithm", "reciprocal"]  # fmt: skip

Ints = npt.NDArray[np.int64]
ONE_LESS = (1 << 31) - 1
"""One, with no integer bits, as near as it goes."""
RECIPROCAL_START, RECIPROCAL_FACTOR = 1515870810, 1010580540
"""48 / 17 and 32 / 17 with two integer bits: where the reciprocal's iteration starts."""
ROOT_OF_HALF = 1518500250
"""sqrt(1/2) with no integer bits."""
ROOT_OF_ROOT, LOG_2 = 1805811301, 1488522236
"""sqrt(sqrt(1/2)) and log(2) with no integer bits."""
ALPHA_N, ALPHA_D, ALPHA_I, ALPHA_F = 117049297, 127690142, 1057819769, 638450708
"""Factors of the logarithm's quotient of two polynomials, with no integer bits."""
THREE_HALVES = (1 << 28) + (1 << 27)
"""3/2 with three integer bits."""
_ITERATIONS = 3
_HALVINGS = ((24, 1672461947), (25, 1302514674), (26, 790015084), (27, 290630308), (28, 39332535),
             (29, 720401), (30, 242))  # fmt: skip
"""Bits of an exponent with 5 integer bits, and the factor exp(-2^k) of each."""


def exponential(exponents: npt.ArrayLike) -> Ints:
    """exp_on_negative_values of numbers up to 0 with 5 integer bits; with none in the result."""
    values = np.asarray(exponents, np.int64)
    quarter = 1 << 24
    part = (values & (quarter - 1)) - quarter
    result, rest = _near_zero(part << 5), part - values
    for bit, factor in _HALVINGS:
        result = np.where(rest & (1 << bit), high_multiply(result, factor), result)
    return np.asarray(np.where(values == 0, ONE_LESS, result), np.int64)


def _near_zero(values: Ints) -> Ints:
    """Exp of numbers from -1/4 on, by its series around -1/8."""
    x = values + (1 << 28)
    square = high_multiply(x, x)
    cube, fourth = high_multiply(square, x), high_multiply(square, square)
    third = high_multiply(rounding_shift(fourth, 2) + cube, 715827883)
    tail = rounding_shift(third + square, 1)
    return np.asarray(1895147668 + high_multiply(1895147668, x + tail), np.int64)


def reciprocal(half: npt.ArrayLike) -> Ints:
    """2^61 / half, for halves from 2^30 up to 2^31 - 1, saturated: with no integer bits.

    It is one_over_one_plus_x_for_x_in_0_1 of twice that less one.
    """
    half = np.asarray(half, np.int64)
    x = high_multiply(-half, RECIPROCAL_FACTOR) + RECIPROCAL_START
    for _ in range(_ITERATIONS):
        rest = (1 << 29) - high_multiply(x, half)
        x = x + (high_multiply(rest, x) << 2)
    return np.asarray(np.minimum(x << 1, ONE_LESS), np.int64)


def inverse_root(values: npt.ArrayLike) -> tuple[Ints, Ints]:
    """GetInvSqrtQuantizedMultiplierExp of values from 0 up to 2^29 - 1.

    Multipliers of 31 bits, and the shifts right behind them.
    """
    values = np.asarray(values, np.int64)
    pairs = (31 - np.frexp(values.astype(np.float64))[1].astype(np.int64)) // 2 - 1
    shift, half = 11 - pairs, (((values << 2 * pairs) >> 1) + 1) >> 1
    x = np.full_like(values, 1 << 28)  # of 3 integer bits, as is the half
    for _ in range(5):
        cube = _left(high_multiply(high_multiply(x, x), x), 6)
        x = _left(high_multiply(THREE_HALVES, x) - high_multiply(half, cube), 3)
    x = high_multiply(x, ROOT_OF_HALF) << np.maximum(-shift, 0)
    small = values <= 1
    return np.where(small, ONE_LESS, x), np.where(small, 0, np.maximum(shift, 0))


def _left(values: Ints, bits: int) -> Ints:
    """Products with a power of two, saturated."""
    return np.asarray(np.clip(values << bits, -(1 << 31), ONE_LESS), np.int64)


def logarithm(values: npt.ArrayLike) -> Ints:
    """log_x_for_x_greater_than_or_equal_to_1 of numbers with 12 integer bits; 5 in the result."""
    values = np.asarray(values, np.int64)
    rest, exponent = _mantissa(values)
    p, q = (rest + ROOT_OF_ROOT + 1) >> 1, (rest - ROOT_OF_ROOT) << 1
    square = high_multiply(q, q)
    above = high_multiply(q, rest) + high_multiply(high_multiply(q, square), ALPHA_N)
    below = high_multiply(p, ALPHA_I + q + high_multiply(ALPHA_D, square))
    below = below + high_multiply(ALPHA_F, q)
    quotient = high_multiply(rounding_shift(above, 6), reciprocal((below + (1 << 31)) >> 1))
    return _left(high_multiply(exponent, LOG_2) + quotient, 1)


def _mantissa(values: Ints) -> tuple[Ints, Ints]:
    """Numbers around sqrt(sqrt(1/2)), with no integer bits, and their exponents with 6.

    The larger exponent is of the number itself, or of that times the root of one half.
    """
    part = high_multiply(values, ROOT_OF_HALF)
    free, free_of_part = (31 - np.frexp(v.astype(np.float64))[1] for v in (values, part))
    first = _left(high_multiply(values << free, ROOT_OF_HALF), 1)
    second = _left(values << free_of_part, 0)
    exponents = ((11 - free) << 25) + (1 << 23), ((12 - free_of_part) << 25) - (1 << 23)
    return np.minimum(first, second), np.maximum(*exponents)
