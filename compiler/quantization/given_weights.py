"""Products whose weights come as codes: these stay; factors behind a product change its unit alone.

The real weights of a result are its codes times one number, whatever factors have been folded into
them, so the largest code is enough to find the unit. Biases are as exact as the sums leave room
for: they get bits below the unit (*guard bits*), unless they are whole numbers of it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pulsarray.compiler.graph import Floats
from pulsarray.compiler.maps.integer import HIGH, LOW, FeatureMap
from pulsarray.compiler.quantization.integer_weights import Columns
from pulsarray.errors import InputError

__all__ = ["given_columns"]

Ints = npt.NDArray[np.int64]

_SUM_BITS = 32
_EXACT = 1e-9
"""Relative error of weights that are still codes times one number."""
_FLOAT32 = 2.0**-23
"""Of a bias in float32, as the file has it, less is its own rounding."""
_MOST_GUARD = 24


def given_columns(
    name: str, weight: Floats, bias: Floats, source: FeatureMap, peaks: Ints
) -> Columns:
    """Codes (K, N) of real weights of which the largest code of each result is known.

    Raises
    ------
    InputError
        If the weights are not such codes, or bias and sums do not fit 32 bits.
    """
    largest = np.abs(weight).max(axis=0)
    live = largest > 0.0
    scale = np.where(live, largest / np.maximum(peaks, 1), 1.0)
    codes = np.rint(weight / scale)
    if (np.abs(codes * scale - weight) > _EXACT * largest).any():
        raise InputError(f"{name}: its weight is not quantized")
    if codes.min() < LOW or codes.max() > HIGH:
        raise InputError(
            f"{name}: weights less their zero point must be int8 codes, not "
            f"{int(codes.min())} to {int(codes.max())}"
        )
    whole = codes.astype(np.int64)
    reach = _reach(whole)
    unit = np.where(live, scale * source.scale, _unit_of(bias, int(reach.max()).bit_length()))
    guard = _guard_bits(name, reach, bias / unit, source.zero_point * whole.sum(axis=0))
    offsets = np.rint(np.ldexp(bias / unit, guard)).astype(np.int64)
    return Columns(whole, offsets, unit, guard)


def _unit_of(bias: Floats, bits: int) -> Floats:
    """A unit of which a bias without weights is as large a number as sums are."""
    fraction, exponent = np.frexp(bias)
    return np.where(fraction == 0.0, 1.0, np.ldexp(1.0, exponent - min(max(bits, 8), 24)))


def _reach(codes: Ints) -> Ints:
    """The largest magnitude of each result's sum of products with any codes."""
    high = np.maximum(codes * LOW, codes * HIGH).sum(axis=0)
    low = np.minimum(codes * LOW, codes * HIGH).sum(axis=0)
    return np.asarray(np.maximum(high, -low))


def _guard_bits(name: str, reach: Ints, bias: Floats, shares: Ints) -> int:
    """Bits below the unit that sums and biases have room for; 0 where biases need none.

    ``shares`` is what the input's zero point contributes to the sums.
    """
    limit = float(1 << (_SUM_BITS - 1)) - 1.0
    largest = max(float(reach.max()), float(np.abs(bias - shares).max()) + 0.5)
    if largest > limit:
        place = int(np.argmax(np.maximum(reach, np.abs(bias - shares))))
        raise InputError(
            f"{name}: sums may exceed 32 bits: result {place} adds a bias of {bias[place]:.6g} to "
            f"sums of up to {reach[place]}, in units of its weight's scale times its input's"
        )
    if (np.abs(bias - np.rint(bias)) <= np.abs(bias) * _FLOAT32).all():
        return 0
    return max(0, min(_MOST_GUARD, int(np.floor(np.log2(limit / largest)))))
