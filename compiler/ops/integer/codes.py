"""int8 codes: their limits, and what stands for zero."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pulsarray.compiler.ir.formats import Affine8, Format

__all__ = ["HIGH", "LOW", "Ints", "zero_of"]

Ints = npt.NDArray[np.int64]
LOW, HIGH = -128, 127


def zero_of(form: Format) -> int:
    """The code of real zero."""
    return form.zero if isinstance(form, Affine8) else 0
