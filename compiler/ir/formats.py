"""Number formats of values: how real numbers are kept, which passes choose."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pulsarray.affine import decode, encode

__all__ = ["REAL", "Affine8", "Format", "Integers", "Real", "Shared16"]

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Real:
    """Real numbers, before any format is chosen: floating point of NumPy."""

    def __str__(self) -> str:
        return "real"


@dataclass(frozen=True)
class Affine8:
    """int8 codes: real value = (code - zero) * scale.

    Parameters
    ----------
    scale, zero
        Scale and zero point.
    half_away
        Whether a host rounds halves away from zero when it makes codes, as LiteRT does.
    """

    scale: float
    zero: int = 0
    half_away: bool = False

    def __str__(self) -> str:
        return f"int8({self.scale:.6g}, {self.zero})"

    def encode(self, values: npt.ArrayLike) -> Ints:
        """Codes of real values, rounded and saturated."""
        return encode(values, self.scale, self.zero, half_away=self.half_away)

    def decode(self, codes: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Real values of codes."""
        return decode(codes, self.scale, self.zero)


@dataclass(frozen=True)
class Integers:
    """Whole numbers as they are, signed, of so many bits: weights' codes, biases, sums."""

    bits: int

    def __str__(self) -> str:
        return f"int{self.bits}"


@dataclass(frozen=True)
class Shared16:
    """16-bit mantissas with one exponent for the whole value: real value = mantissa * 2^exponent.

    Parameters
    ----------
    exponent
        A fixed exponent, or the name of one that adapts during training.
    """

    exponent: int | str

    def __str__(self) -> str:
        return f"shared16({self.exponent})"


Format = Real | Affine8 | Integers | Shared16

REAL = Real()
