"""Division of mantissas by sums of powers and by roots, by function tables (docs/training.md)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pulsarray.compiler.numerics.exponents import LOG2_E
from pulsarray.compiler.numerics.mantissas import rne, round_right
from pulsarray.compiler.numerics.tables import table

__all__ = ["divisors", "shifted", "softmax"]

Ints = npt.NDArray[np.int64]

_ONE = 1 << 15
_DEEPEST = 40


def softmax(
    logits: Ints, exponent: int, segments: int, seen: npt.NDArray[Any] | None = None
) -> Ints:
    """Probabilities at 2^-31 of mantissas with an exponent, along the last axis.

    Where ``seen`` is 0 they are 0.
    """
    seen = np.ones(logits.shape[-1]) if seen is None else seen
    largest = np.where(seen > 0, logits, -_ONE).max(axis=-1, keepdims=True)
    powers = _powers(rne((largest - logits) * LOG2_E, -1 - exponent), segments)
    powers = np.where(seen > 0, powers, 0)
    inverse, bits = _leading(powers.sum(axis=-1, keepdims=True), "reciprocal", segments)
    return round_right(powers * inverse, bits - 1)


def divisors(squares: Ints, largest: int, segments: int, more: int = 0) -> tuple[Ints, Ints]:
    """Reciprocals of roots, to which ``more`` is added, and how far they are to be shifted.

    The logarithm ``largest`` belongs to a root of 2^30.
    """
    fraction, whole = _leading(squares, "log2", segments)
    root = _powers(rne(largest - (fraction + whole * (1 << 16)), 2), segments)
    return _leading(root + more, "reciprocal", segments)


def _powers(logarithms: Ints, segments: int) -> Ints:
    """``2^-q`` at 2^-30 of logarithms at 2^-15 from 0 on; those below count as 0."""
    q = np.clip(logarithms, 0, _DEEPEST * _ONE)
    return np.asarray((table("exp", segments)(2 * (q % _ONE) - _ONE) * _ONE) >> (q // _ONE))


def _leading(values: Ints, name: str, segments: int) -> tuple[Ints, Ints]:
    """A function of the leading 16 bits of positive numbers, and how far they were shifted."""
    some = np.maximum(values, 1)
    bits = np.frexp(some.astype(np.float64))[1].astype(np.int64)
    down, up = np.maximum(bits - 16, 0), np.maximum(16 - bits, 0)
    return table(name, segments)(2 * ((some >> down) << up) - 3 * _ONE), bits - 16


def shifted(values: Ints, shifts: Ints) -> Ints:
    """``rne`` with a shift for each element, channel or pixel."""
    values, shifts = np.broadcast_arrays(values, shifts)
    rounded = np.empty(values.shape, np.int64)
    for shift in np.unique(shifts):
        rounded[shifts == shift] = rne(values[shifts == shift], int(shift))
    return rounded
