"""Weights, biases and multipliers in integers, for machines whose sums and multipliers are narrow.

Weights: symmetric, one scale an output channel. Biases: in units of the sums.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from pulsarray.compiler.ir.value import Floats
from pulsarray.compiler.numerics.fixed_point import fixed_point
from pulsarray.config import Config
from pulsarray.errors import InputError

__all__ = ["Columns", "integer_columns", "multipliers", "shared_multipliers"]

Ints = npt.NDArray[np.int64]

_CODES = 256
_LARGEST = 127
_BLOCK = 1 << 22
"""Weights of which there are copies in float64 at a time."""


@dataclass(frozen=True, eq=False)
class Columns:
    """A product in integers: codes (K, N), biases (N,), and the unit of the sums (N,).

    ``rest`` is what biases leave out, in real numbers, (N,).
    """

    weight: npt.NDArray[np.signedinteger[Any]]
    bias: Ints
    unit: Floats
    rest: Floats | None = None


def integer_columns(
    name: str, weight: Floats, bias: Floats, source_scale: float, config: Config
) -> Columns:
    """Codes of a matrix of weights, such that no sum overflows.

    Raises
    ------
    InputError
        If the machine's sums are too narrow for so many products.
    """
    codes, scale = np.empty(weight.shape, np.int8), np.empty(weight.shape[1])
    for block in _blocks(*weight.shape):
        part = weight[:, block].astype(np.float64)
        scale[block] = _weight_scale(name, part, bias[block], source_scale, config)
        codes[:, block] = np.rint(np.divide(part, scale[block], out=part), out=part)
    unit = scale * source_scale
    return Columns(codes, np.rint(bias / unit).astype(np.int64), unit)


def _blocks(height: int, width: int) -> list[slice]:
    """Columns that are worked on together, in float64: at least two, so that all sum alike."""
    count = max(1, height * width // _BLOCK)
    ends = [width * k // count for k in range(count + 1)] if count <= width // 2 else [0, width]
    return [slice(first, last) for first, last in pairwise(ends)]


def _weight_scale(
    name: str, weight: Floats, bias: Floats, source_scale: float, config: Config
) -> Floats:
    """Scale of each column: codes up to 127, fewer where sums or bias would not fit."""
    limit = (1 << (config.acc_bits - 1)) - 1
    largest = np.maximum(weight.max(axis=0), -weight.min(axis=0)) / _LARGEST
    # Half of the range is for the products (and for the zero point's share, which is no larger
    # than they are), the other half for the bias. Rounding adds at most half a code a weight.
    room = limit // 2 // _CODES - (len(weight) + 1) // 2
    if room < 1:
        raise InputError(
            f"{name}: {len(weight)} products are too many for sums of {config.acc_bits} bits"
        )
    products = np.abs(weight).sum(axis=0) / room
    biases = np.abs(bias) / (limit // 4) / source_scale
    scale = np.maximum(np.maximum(largest, products), biases)
    return np.where(scale > 0.0, scale, 1.0)


def multipliers(ratios: Floats, bits: int) -> tuple[Ints, Ints]:
    """Multiplier and shift of each ratio."""
    pairs = [fixed_point(float(ratio), bits) for ratio in ratios]
    return np.array([m for m, _ in pairs], np.int64), np.array([s for _, s in pairs], np.int64)


def shared_multipliers(ratios: Sequence[float] | Floats, bits: int) -> tuple[Ints, int]:
    """Multipliers of ratios with one shift, the largest of which has all bits."""
    largest = float(np.max(ratios))
    _, shift = fixed_point(largest, bits)
    scaled = np.rint(np.ldexp(np.asarray(ratios, np.float64), shift))
    return np.minimum(scaled, (1 << bits) - 1).astype(np.int64), shift
