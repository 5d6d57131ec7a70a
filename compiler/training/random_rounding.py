"""Monte Carlo arithmetic: how far rounding to the machine's 16 bits may take a step.

A float64 step in which every tensor that the machine stores is rounded at random shows how much
each result feels of it (Parker, "Monte Carlo Arithmetic", 1997): where terms cancel, as in the
gradient through a batch normalization of few values, much more than a rounding of its own.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from pulsarray.compiler.ir.value import Floats

__all__ = ["RandomRounding", "Stored", "exactly"]

_BITS = 14
"""Of the largest magnitude: 16 less the sign and one bit of headroom (docs/training.md)."""


class Stored(Protocol):
    """What storing makes of a tensor."""

    def __call__(self, values: Floats, like: Floats | None = None, /) -> Floats:
        """Of a tensor, or of values in the unit of another one."""


def exactly(values: Floats, _like: Floats | None = None, /) -> Floats:
    """Nothing."""
    return values


class RandomRounding:
    """Rounds a tensor to a neighbour on the grid of its largest magnitude, at random.

    What is on the grid stays, and the expected value is the value: it goes up with the probability
    of its distance from the neighbour below.

    Parameters
    ----------
    seed
        Of the directions.
    """

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)

    def __call__(self, values: Floats, like: Floats | None = None, /) -> Floats:
        """The tensor rounded, to the grid of another one if it is given."""
        _, length = np.frexp(np.abs(values if like is None else like).max(initial=0.0))
        codes = np.ldexp(values, _BITS - int(length))
        codes = np.floor(codes + self._random.random(codes.shape))
        return np.ldexp(codes, int(length) - _BITS)
