"""Batch normalization on mantissas (docs/training.md)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pulsarray.compiler.training.arithmetic import factor, limited, rne, sym
from pulsarray.compiler.training.tables import table
from pulsarray.errors import InputError

__all__ = [
    "DEVIATION",
    "GUARD_BITS",
    "HALF_LOG",
    "Mean",
    "Normalized",
    "normalize",
    "pull",
    "pulled",
]

Ints = npt.NDArray[np.int64]

GUARD_BITS = 14
"""Bits below the square of a mantissa in a variance."""
HALF_LOG = 114 << 14
"""What a logarithm is subtracted from: the largest deviation, 2^15, then has the power 0."""
DEVIATION = 3
"""Shift from a quotient at 2^-15 to a normalized value at 2^-12."""
_ONE = 1 << 15
_DEEPEST = 40
_CODE_BITS = 12


@dataclass(frozen=True)
class Mean:
    """Division by a number of pixels: ``rne(sum * mantissa, shift)``."""

    pixels: int
    mantissa: int
    shift: int

    @classmethod
    def over(cls, pixels: int, where: str) -> Mean:
        """The mean over so many pixels.

        Raises
        ------
        InputError
            If there are too few or too many.
        """
        if not 2 <= pixels < _ONE:
            raise InputError(
                f"{where}: batch normalization needs 2 to {_ONE - 1} pixels in a batch, "
                f"not {pixels}"
            )
        mantissa, exponent = factor(1.0 / pixels, where)
        return cls(pixels, mantissa, -exponent)

    def __call__(self, sums: Ints, guard: int = 0) -> Ints:
        """Means with ``guard`` more bits below."""
        return rne(sums * self.mantissa, self.shift - guard)


@dataclass(frozen=True, eq=False)
class Normalized:
    """Normalized values (images, H, W, C) at 2^-12, and by channel what they were divided by.

    ``x / deviation`` is ``x * inverse / 2^shift`` at 2^-15.
    """

    values: Ints
    inverse: Ints
    shift: Ints


def _leading(values: Ints, name: str, segments: int) -> tuple[Ints, Ints]:
    """A function of the leading 16 bits of positive numbers, and how far they were shifted."""
    some = np.maximum(values, 1)
    bits = np.frexp(some.astype(np.float64))[1].astype(np.int64)
    down, up = np.maximum(bits - 16, 0), np.maximum(16 - bits, 0)
    return table(name, segments)(2 * ((some >> down) << up) - 3 * _ONE), bits - 16


def normalize(
    u: Ints, exponent: int, middle: Ints, mean: Mean, epsilon: float, segments: int
) -> Normalized:
    """Mantissas less the mean of their channel, ``middle``, divided by its deviation."""
    axes = (0, 1, 2)
    total = u.sum(axis=axes)
    centred = sym(u - middle, 16)
    squares = (u * centred).sum(axis=axes) - middle * (total - mean.pixels * middle)
    mantissa, small = factor(epsilon, "epsilon")
    least = rne(np.array(mantissa), limited(2 * exponent - GUARD_BITS) - small)
    variance = mean(squares, GUARD_BITS) + least
    fraction, whole = _leading(variance, "log2", segments)
    power = np.clip(rne(HALF_LOG - (fraction + whole * (1 << 16)), 2), 0, _DEEPEST * _ONE)
    root = (table("exp", segments)(2 * (power % _ONE) - _ONE) * _ONE) >> (power // _ONE)
    inverse, shift = _leading(root, "reciprocal", segments)
    return Normalized(sym(_shifted(centred * inverse, shift + DEVIATION), 16), inverse, shift)


def _shifted(values: Ints, shifts: Ints) -> Ints:
    """``rne`` with a shift for each channel."""
    found = np.empty(np.broadcast_shapes(values.shape, shifts.shape), np.int64)
    for channel, shift in enumerate(shifts):
        found[..., channel] = rne(values[..., channel], int(shift))
    return found


def pull(
    error: Ints, normal: Normalized, along: Ints, weight: Ints, mean: Mean
) -> tuple[Ints, Ints]:
    """The gradient at the source before its last shift, and the shift of each channel.

    ``along`` is the mean of products of the error and the normalized values.
    The gradient is ``value * 2^-shift`` at the exponents of the error and the weight together,
    less 27, less that of the source.
    """
    middle = mean(error.sum(axis=(0, 1, 2)), _CODE_BITS)
    less = sym(normal.values * along - error * (1 << _CODE_BITS), 32)
    return (-middle - less) * weight * normal.inverse, normal.shift


def pulled(values: Ints, shifts: Ints, shift: int) -> Ints:
    """The same after a last shift."""
    return _shifted(values, shifts + shift)
