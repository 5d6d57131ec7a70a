"""The exponential function."""

from __future__ import annotations

import numpy as np

from pulsarray.compiler.ops.function import Function

__all__ = ["Exp"]


class Exp(Function, title="exp", summary="exp(x)", at=np.exp, slope_at=lambda _, y: y):
    """The exponential function."""

    is_monotonic = True
