"""Products whose weights come as codes: these stay; factors behind a product change its unit alone.

The real weights of a result are its codes times one number, whatever factors have been folded into
them, so the largest code is enough to find the unit. What a bias has beside a whole number of the
unit, or beyond 32 bits of it, is left to the scaling of the sums.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pulsarray.compiler.ir.formats import Affine8
from pulsarray.compiler.ir.value import Floats
from pulsarray.compiler.ops.integer.codes import HIGH, LOW
from pulsarray.compiler.passes.quantize.integer_weights import Columns
from pulsarray.errors import InputError

__all__ = ["given_columns"]

Ints = npt.NDArray[np.int64]

_LARGEST_SUM = (1 << 31) - 1
_EXACT = 1e-9
"""Relative error of weights that are still codes times one number."""
_FLOAT32 = 2.0**-23
"""Of a bias in float32, as the file has it, less is its own rounding."""


def given_columns(name: str, weight: Floats, bias: Floats, source: Affine8, peaks: Ints) -> Columns:
    """Codes (K, N) of real weights of which the largest code of each result is known.

    Raises
    ------
    InputError
        If the weights are not such codes, or their sums do not fit 32 bits.
    """
    largest = np.abs(weight).max(axis=0)
    live = largest > 0.0
    scale = np.where(live, largest / np.maximum(peaks, 1), 1.0)
    codes = np.rint(weight / scale)
    if (np.abs(codes * scale - weight) > _EXACT * largest).any():
        raise InputError(f"{name}: its weight is not quantized")
    if codes.min() < LOW or codes.max() > HIGH:
        raise InputError(
            f"{name}: weights less their zero point, with the sign of a factor behind them, must "
            f"be int8 codes, not {int(codes.min())} to {int(codes.max())}"
        )
    whole = codes.astype(np.int64)
    unit = np.where(live, scale * source.scale, _unit_of(bias))
    reach, shares = _reach(whole), source.zero * whole.sum(axis=0)
    if int(reach.max()) > _LARGEST_SUM:
        raise InputError(f"{name}: sums of products may exceed 32 bits: up to {int(reach.max())}")
    wanted = bias / unit
    offsets = np.where(np.abs(wanted) + np.abs(shares) < _LARGEST_SUM, np.rint(wanted), 0.0)
    rest = bias - offsets * unit
    rest = np.where(np.abs(rest) <= np.abs(bias) * _FLOAT32, 0.0, rest)
    return Columns(whole, offsets.astype(np.int64), unit, rest)


def _unit_of(bias: Floats) -> Floats:
    """A unit of which a bias without weights is a whole number, to 24 bits."""
    fraction, exponent = np.frexp(bias)
    return np.where(fraction == 0.0, 1.0, np.ldexp(1.0, exponent - 24))


def _reach(codes: Ints) -> Ints:
    """The largest magnitude of each result's sum of products with any codes."""
    high = np.maximum(codes * LOW, codes * HIGH).sum(axis=0)
    low = np.minimum(codes * LOW, codes * HIGH).sum(axis=0)
    return np.asarray(np.maximum(high, -low))
