"""The step from 0 to 1."""

from __future__ import annotations

import numpy as np

from pulsarray.compiler.ops.function import Function

__all__ = ["Step"]


class Step(
    Function,
    title="step",
    summary="1 where x is above 0, else 0",
    at=lambda x: (x > 0.0).astype(x.dtype),
    slope_at=lambda x, _: np.zeros_like(x),
):
    """1 where x is above 0, else 0: a perceptron's output, in training a constant.

    Its derivative is 0; at 0 it has none, which counts as 0, too.
    """

    is_monotonic = True
    learns_as_identity = True
