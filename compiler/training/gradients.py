"""Gradients of losses and of activations, on mantissas (docs/training.md)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pulsarray.compiler.numerics.exponents import DERIVATIVES
from pulsarray.compiler.numerics.mantissas import LARGEST, rne, sym
from pulsarray.compiler.numerics.tables import table
from pulsarray.compiler.ops.loss import Loss
from pulsarray.compiler.training.losses import ALIGNED

__all__ = ["class_gradient", "gate", "loss_gradient"]

Ints = npt.NDArray[np.int64]

_ONE = 1 << 15


def class_gradient(probabilities: Ints, target: Ints) -> Ints:
    """Gradient of cross-entropy at the exponent of probabilities; rows sum to 0."""
    total = probabilities.sum(axis=-1, keepdims=True)
    return np.where(target > 0, probabilities - total, probabilities)


def loss_gradient(
    loss: Loss, output: Ints, e_output: int, target: Ints, e_target: int, segments: int
) -> Ints:
    """Gradient of every loss but cross-entropy, (batch, N): at 2^-30 if it is requantized."""
    if loss.name == "hinge":
        product = rne(output * target, ALIGNED - e_output - e_target)
        inside = product < 1 << -ALIGNED
        return np.asarray(np.where(inside, -target, 0), np.int64)
    d = rne(output, ALIGNED - e_output) - rne(target, ALIGNED - e_target)
    if loss.name == "mae":
        return np.asarray(np.sign(d) * (_ONE // 2), np.int64)
    if loss.name == "log-cosh":
        return table("tanh", segments)(sym(rne(d, 17), 16))
    if loss.parameter is None:
        return d
    if loss.name == "quantile":
        over = min(round((1 - loss.parameter) * _ONE), LARGEST)
        under = min(round(loss.parameter * _ONE), LARGEST)
        return np.asarray(np.where(d > 0, over, np.where(d < 0, -under, 0)), np.int64)
    most = round(loss.parameter * (1 << -ALIGNED))
    return np.asarray(np.clip(d, -most, most), np.int64)


def gate(activation: str, gradient: Ints, exponent: int, output: Ints) -> tuple[Ints, int]:
    """A gradient at an activation's output, times its derivative there, and its exponent."""
    if activation == "relu":
        return np.where(output > 0, gradient, 0), exponent
    slope_exponent = DERIVATIVES[activation].slope
    if slope_exponent is None:
        return gradient, exponent
    if activation == "sigmoid":
        slope = rne(output * (_ONE - output), 13)
    else:
        slope = rne(_ONE * _ONE - output * output, 15)
    return gradient * np.minimum(slope, LARGEST), exponent + slope_exponent
