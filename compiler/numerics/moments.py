"""Adam on mantissas: sums of squares of gradients, and their roots (docs/training.md)."""

from __future__ import annotations

from math import ceil, log2, sqrt

import numpy as np
import numpy.typing as npt

from pulsarray.compiler.numerics.mantissas import LARGEST
from pulsarray.compiler.numerics.quotients import divisors, shifted

__all__ = ["DIVIDED", "FRACTION_BITS", "HALF_LOG", "ROOT", "corrected", "divided", "guard", "share"]

Ints = npt.NDArray[np.int64]

DIVIDED = -24
"""Exponent of velocities divided by roots."""
ROOT = -6
"""How far the exponent of roots is below that of the parameter's register."""
HALF_LOG = 130 << 14
"""What a logarithm is subtracted from: the largest root, 2^24, then has the power 0."""
FRACTION_BITS = 15
"""Bits of what stays of a sum from step to step."""
_SQUARE_BITS, _SUM_BITS = 30, 46


def share(part: float) -> int:
    """What stays of a sum, at 2^-15."""
    return min(round(part * (1 << FRACTION_BITS)), LARGEST)


def guard(squares: float) -> int:
    """How far the exponent of roots is below that of gradients.

    Sums of squares, each a share of those before it, are below 2^46 then.
    """
    most = ceil(log2(1.0 / (1.0 - share(squares) / (1 << FRACTION_BITS))))
    return (_SUM_BITS - _SQUARE_BITS - most) // 2


def corrected(first: float, second: float, step: int) -> tuple[float, float]:
    """Factors of rate and epsilon in a step, from 1: what means lack as long as they are young.

    What is kept are sums, each with a share (of gradients, and of squares) of that before it, not
    means.
    """
    mean = (1.0 - first) / (1.0 - first**step)
    root = sqrt((1.0 - second) / (1.0 - second**step))
    return mean / root, 1.0 / root


def divided(velocity: Ints, squares: Ints, epsilon: int, shift: int, segments: int) -> Ints:
    """A velocity divided by the root of squares and epsilon, at :data:`DIVIDED`.

    ``shift`` is the exponent of roots less that of the velocity.
    """
    inverse, bits = divisors(squares, HALF_LOG, segments, epsilon)
    return shifted(velocity * inverse, bits + shift)
