"""Number formats of values: how real numbers are kept, which passes choose."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pulsarray.affine import decode, encode

__all__ = ["REAL", "Affine8", "Format", "Integers", "Kept", "Real", "Shared16", "Wide"]

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
    name
        Of the exponent, which several values may share.
    fixed
        The exponent where it never changes; None where it adapts during training.
    """

    name: str
    fixed: int | None = None

    def __str__(self) -> str:
        return f"shared16({self.name}{'' if self.fixed is None else f' = {self.fixed}'})"


@dataclass(frozen=True)
class Wide:
    """Integers of more than 16 bits with one exponent: sums, biases, probabilities.

    Parameters
    ----------
    exponent
        The exponent; None where it follows from those of what is multiplied and nothing is rounded.
    guards
        Name of the exponent that the value is about to be requantized to, if it is 32 bits with
        guard bits below that.
    """

    exponent: int | None = None
    guards: str = ""

    def __str__(self) -> str:
        text = f"{self.guards} with guard bits" if self.guards else self.exponent
        return "sums" if text is None else f"wide({text})"


@dataclass(frozen=True)
class Kept:
    """Integers that training keeps: real value = integer * 2^(times * exponent of a name - less).

    Parameters
    ----------
    bits
        Of each integer.
    name
        Of the exponent.
    times, less
        What it is multiplied by, and what is taken off.
    """

    bits: int
    name: str
    times: int = 1
    less: int = 0

    def __str__(self) -> str:
        times = f"{self.times} " if self.times > 1 else ""
        return f"int{self.bits}({times}{self.name}{f' - {self.less}' if self.less else ''})"


Format = Real | Affine8 | Integers | Shared16 | Wide | Kept

REAL = Real()
