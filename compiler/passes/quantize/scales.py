"""From a product's sums to codes: once for all, or by way of bits below a code.

What comes quantized is rounded as its file says, so biases that are no whole number of the sums'
unit, or far beyond 32 bits of it, and maps of a much larger scale that are added to sums must not
lose what would decide a rounding. Sums are then scaled to *fine* bits below a code first.
"""

from __future__ import annotations

from math import ceil, ldexp, log2

import numpy as np
import numpy.typing as npt

from pulsarray.compiler.ir.formats import Affine8
from pulsarray.compiler.ir.value import Floats
from pulsarray.compiler.numerics.fixed_point import fixed_point
from pulsarray.compiler.ops.integer.codes import HIGH, LOW
from pulsarray.compiler.ops.integer.scale import Residual, Scale
from pulsarray.compiler.passes.quantize.integer_weights import (
    Columns,
    multipliers,
    shared_multipliers,
)

__all__ = ["scale_of"]

Ints = npt.NDArray[np.int64]

_CODES = float(HIGH - LOW + 2)
"""A result that is farther from its zero point is saturated."""
_LEAST_MULTIPLIER = 1 << 24
"""With fewer bits a multiplier is coarser than float32."""


def scale_of(
    columns: Columns, target: Affine8, other: Affine8 | None, bits: int, *, exact: bool
) -> tuple[Scale, Residual | None]:
    """How a product's sums become codes of ``target``, and what a map adds to them.

    Parameters
    ----------
    columns
        The product.
    target
        Codes of the result.
    other
        Codes of a map that is added before rounding.
    bits
        Bits of multipliers.
    exact
        Whether the result must be rounded as its real value is, as far as float32 can tell.
    """
    ratios = columns.unit / target.scale
    ratio = other.scale / target.scale if other is not None else 0.0
    together, common = shared_multipliers([*ratios, ratio], bits)
    coarse = other is not None and int(together[:-1].min()) < _LEAST_MULTIPLIER
    if exact and (coarse or (columns.rest is not None and columns.rest.any())):
        return _fine(columns, target, other, bits)
    if other is None:
        return Scale(*multipliers(ratios, bits), target.zero), None
    residual = Residual(int(together[-1]))
    shifts = np.full(len(ratios), common, np.int64)
    return Scale(together[:-1], shifts, target.zero), residual


def _fine(
    columns: Columns, target: Affine8, other: Affine8 | None, bits: int
) -> tuple[Scale, Residual | None]:
    """Sums by themselves first, then what is added to them."""
    ratios = columns.unit / target.scale
    ratio = other.scale / target.scale if other is not None else 0.0
    beyond = _CODES * (ratio + 1.0)
    offset = _offsets(columns, ratios, target.scale, beyond)
    # Where scaled sums saturate, results do, whatever is added.
    fine = max(1, 30 - ceil(log2(beyond + float(np.abs(offset).max()))))
    multiplier, shift = multipliers(np.ldexp(ratios, fine), bits)
    offsets = np.rint(np.ldexp(offset, fine)).astype(np.int64)
    scale = Scale(multiplier, shift, target.zero, fine=fine, offset=offsets)
    if other is None:
        return scale, None
    place = min(fixed_point(ratio, bits)[1], fine + 30)
    return scale, Residual(round(ldexp(ratio, place)), place)


def _offsets(columns: Columns, ratios: Floats, scale: float, beyond: float) -> Floats:
    """What biases leave out, in codes; no more than makes a result saturate whatever its sum is."""
    rest = np.zeros(len(ratios)) if columns.rest is None else columns.rest / scale
    reach = np.abs(columns.weight).sum(axis=0) * float(HIGH - LOW) * ratios + beyond
    return np.asarray(np.clip(rest, -reach, reach))
