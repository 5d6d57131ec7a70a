"""Gradients made smaller where all of them together are too large (docs/training.md)."""

from __future__ import annotations

from collections.abc import Mapping
from math import fsum, sqrt

import numpy as np
import numpy.typing as npt

from pulsarray.compiler.numerics.mantissas import factor, rne
from pulsarray.errors import InputError

__all__ = ["clipped", "require_norm"]

Ints = npt.NDArray[np.int64]
_MOST_SHIFT = 63


def clipped(
    sums: Mapping[str, Ints], exponents: Mapping[str, int], batch: int, most: float
) -> dict[str, Ints]:
    """Sums of gradients as they are, or all times one factor.

    Parameters
    ----------
    sums, exponents
        Of every weight and bias that learns: exact sums over the batch, and their exponents.
    batch
        What they are divided by for a mean.
    most
        The largest norm that all means together may have.
    """
    squares = (
        np.square(np.ldexp(array.astype(np.float64), exponents[name])).reshape(-1)
        for name, array in sums.items()
    )
    norm = sqrt(fsum(square for row in squares for square in row.tolist())) / batch
    if norm <= most:
        return dict(sums)
    mantissa, exponent = factor(most / norm, "clipping: factor")
    shift = min(-exponent, _MOST_SHIFT)
    return {name: rne(array * mantissa, shift) for name, array in sums.items()}


def require_norm(most: float | None) -> None:
    """Refuse what is no norm.

    Raises
    ------
    InputError
        If it is not positive and finite.
    """
    if most is not None and not 0 < most < float("inf"):
        raise InputError(f"--clip-norm: must be more than 0 and finite, not {most:g}")
