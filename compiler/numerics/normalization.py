"""Normalizations on mantissas (docs/training.md)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pulsarray.compiler.numerics.mantissas import factor, limited, rne, sym
from pulsarray.compiler.numerics.quotients import divisors, shifted
from pulsarray.errors import InputError

__all__ = [
    "DEVIATION",
    "GUARD_BITS",
    "HALF_LOG",
    "Mean",
    "Normalized",
    "normalize",
    "normalize_channels",
    "pull",
    "pull_channels",
    "pulled",
]

Ints = npt.NDArray[np.int64]

GUARD_BITS = 14
"""Bits below the square of a mantissa in a variance."""
HALF_LOG = 114 << 14
"""What a logarithm is subtracted from: the largest deviation, 2^15, then has the power 0."""
DEVIATION = 3
"""Shift from a quotient at 2^-15 to a normalized value at 2^-12."""
_MOST = 1 << 15
_CODE_BITS = 12


@dataclass(frozen=True)
class Mean:
    """Division by a number of elements: ``rne(sum * mantissa, shift)``."""

    count: int
    mantissa: int
    shift: int

    @classmethod
    def over(cls, pixels: int, where: str = "") -> Mean:
        """The mean over so many pixels of a batch.

        Raises
        ------
        InputError
            If there are too few or too many.
        """
        return cls._of(pixels, f"{where}batch normalization", "pixels in a batch")

    @classmethod
    def along(cls, channels: int, where: str = "") -> Mean:
        """The mean along so many channels.

        Raises
        ------
        InputError
            If there are too few or too many.
        """
        return cls._of(channels, f"{where}layer normalization", "channels")

    @classmethod
    def _of(cls, count: int, where: str, what: str) -> Mean:
        if not 2 <= count < _MOST:
            raise InputError(f"{where} needs 2 to {_MOST - 1} {what}, not {count}")
        mantissa, exponent = factor(1.0 / count, where)
        return cls(count, mantissa, -exponent)

    def __call__(self, sums: Ints, guard: int = 0) -> Ints:
        """Means with ``guard`` more bits below."""
        return rne(sums * self.mantissa, self.shift - guard)


@dataclass(frozen=True, eq=False)
class Normalized:
    """Normalized values (images, H, W, C) at 2^-12, and what they were divided by.

    ``x / deviation`` is ``x * inverse / 2^shift`` at 2^-15.
    """

    values: Ints
    inverse: Ints
    shift: Ints


def normalize(
    u: Ints, exponent: int, middle: Ints, mean: Mean, epsilon: float, segments: int
) -> Normalized:
    """Mantissas less the mean of their channel, ``middle``, divided by its deviation."""
    axes = (0, 1, 2)
    total = u.sum(axis=axes)
    centred = sym(u - middle, 16)
    squares = (u * centred).sum(axis=axes) - middle * (total - mean.count * middle)
    return _divided(centred, squares, exponent, mean, epsilon, segments)


def normalize_channels(
    u: Ints, exponent: int, middle: Ints, mean: Mean, epsilon: float, segments: int
) -> Normalized:
    """Mantissas less the mean of their pixel, divided by its deviation."""
    centred = sym(u - middle, 16)
    squares = (centred * centred).sum(axis=-1, keepdims=True)
    return _divided(centred, squares, exponent, mean, epsilon, segments)


def _divided(
    centred: Ints, squares: Ints, exponent: int, mean: Mean, epsilon: float, segments: int
) -> Normalized:
    """Values divided by their deviation, from the sum of their squares."""
    mantissa, small = factor(epsilon, "epsilon")
    least = rne(np.array(mantissa), limited(2 * exponent - GUARD_BITS) - small)
    inverse, shift = divisors(mean(squares, GUARD_BITS) + least, HALF_LOG, segments)
    return Normalized(sym(shifted(centred * inverse, shift + DEVIATION), 16), inverse, shift)


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


def pull_channels(error: Ints, normal: Normalized, along: Ints, mean: Mean) -> tuple[Ints, Ints]:
    """The same of layer normalization, whose error has the weight in it: a shift a pixel."""
    middle = mean(error.sum(axis=-1, keepdims=True), _CODE_BITS)
    less = sym(normal.values * along - error * (1 << _CODE_BITS), 32)
    return (-middle - less) * normal.inverse, normal.shift


def pulled(values: Ints, shifts: Ints, shift: int) -> Ints:
    """The same after a last shift."""
    return shifted(values, shifts + shift)
