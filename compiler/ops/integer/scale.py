"""From sums to codes.

Notation: ``rne(v, s)`` is v / 2^s rounded half to even; ``clip`` to ``low .. high``. Rounding
``tflite`` is that of TensorFlow Lite's reference kernels (:mod:`pulsarray.compiler.numerics`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pulsarray.compiler.ir.needs import Needs
from pulsarray.compiler.numerics.fixed_point import fixed_point
from pulsarray.compiler.numerics.rounding import requantize, round_half_even, scale_sums
from pulsarray.compiler.ops.integer.codes import HIGH, LOW, Ints

__all__ = ["Residual", "Scale"]

_SUM_LOW, _SUM_HIGH = -(1 << 31), (1 << 31) - 1


@dataclass(frozen=True, eq=False)
class Scale:
    """From sums to codes: ``clip(zero + round(sum * multiplier / 2^shift))``, then a table.

    With ``fine`` sums are scaled to 2^-fine of a code first, to which an offset is added:
    ``clip(zero + round((sat32(round(sum * multiplier / 2^shift)) + offset) / 2^fine))``.

    Parameters
    ----------
    multiplier, shift
        Shape (N,) for one of each channel, or (1,) for all channels; multipliers are unsigned, of
        at most 31 bits.
    zero, low, high
        Zero point and limits of the scaled sum: those of the result, or of the table's argument.
    tflite
        Rounding as TensorFlow Lite's, else once, half to even.
    table
        256 codes, by scaled sum + 128; None where the scaled sum is the result.
    fine, offset
        Bits below a code; (N,), of 32 bits. Only with products, and ``tflite`` off.
    """

    multiplier: Ints
    shift: Ints
    zero: int = 0
    low: int = LOW
    high: int = HIGH
    tflite: bool = False
    table: Ints | None = None
    fine: int = 0
    offset: Ints | None = None

    def __str__(self) -> str:
        count = len(self.multiplier)
        first = f"{self.multiplier[0]}/2^{self.shift[0]}"
        texts = [first if count == 1 else f"{first} .. ({count})", f"zero {self.zero}"]
        texts += [f"{self.low} .. {self.high}"] if (self.low, self.high) != (LOW, HIGH) else []
        texts += ["tflite"] if self.tflite else []
        texts += [f"fine {self.fine}"] if self.fine else []
        texts += ["table"] if self.table is not None else []
        return f"({', '.join(texts)})"

    @classmethod
    def of_ratios(cls, ratios: Sequence[float], bits: int, zero: int = 0) -> Scale:
        """The scale by positive ratios, with multipliers of so many bits."""
        pairs = [fixed_point(float(ratio), bits) for ratio in ratios]
        multiplier, shift = (np.array(part, np.int64) for part in zip(*pairs, strict=True))
        return cls(multiplier, shift, zero)

    @property
    def needs(self) -> Needs:
        """What it needs of a machine."""
        return Needs(
            multiplier=int(self.multiplier.max()),
            tflite=self.tflite,
            fine=bool(self.fine),
            table=self.table is not None,
        )

    def codes(self, sums: Ints) -> Ints:
        """Codes of sums, whose last axis counts channels."""
        if self.fine:
            fine = np.asarray(self.fine, np.int64)
            return self._finish(round_half_even(self._fine(sums), fine))
        scaling = scale_sums if self.tflite else requantize
        return self._finish(scaling(sums, self.multiplier, self.shift))

    def codes_with(self, sums: Ints, residual: Residual, values: Ints) -> Ints:
        """Codes of sums and a residual's values, which are codes less their zero point."""
        second = values * residual.factor
        if not residual.shift:
            return self._finish(round_half_even(sums * self.multiplier + second, self.shift))
        total = (self._fine(sums) << (residual.shift - self.fine)) + second
        return self._finish(round_half_even(total, np.asarray(residual.shift, np.int64)))

    def _fine(self, sums: Ints) -> Ints:
        """Sums in codes with bits below them, in 32 bits, and the offset."""
        scaled = requantize(sums, self.multiplier, self.shift)
        offset = 0 if self.offset is None else self.offset
        return np.asarray(np.clip(scaled, _SUM_LOW, _SUM_HIGH) + offset, np.int64)

    def _finish(self, scaled: Ints) -> Ints:
        result = np.clip(scaled + self.zero, self.low, self.high)
        return np.asarray(result if self.table is None else self.table[result + 128], np.int64)


@dataclass(frozen=True)
class Residual:
    """A map that is a second term of a product's result, rounded together with the first.

    ``round((sum * multiplier[n] + (code - zero) * factor) / 2^shift)``, half to even; all channels
    then have one shift. With ``scale.fine`` and the sums so scaled (plus ``offset``) it is
    ``round((scaled * 2^(shift - fine) + (code - zero) * factor) / 2^shift)`` with the shift here.

    Parameters
    ----------
    factor
        Its multiplier, unsigned, of at most 31 bits.
    shift
        Shift of both terms, ``fine`` to ``fine + 30``; 0 where it is the sum's.
    """

    factor: int
    shift: int = 0
