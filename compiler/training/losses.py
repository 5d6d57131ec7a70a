"""What losses are worth, and which answers are right.

The values whose gradients docs/training.md lists: the mean over the batch is left to the caller,
and the squared error is half the sum of squares over the outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from pulsarray.compiler.ir.value import Floats
from pulsarray.compiler.ops.loss import Loss

__all__ = ["SMALLEST", "correct", "loss_value", "lowest_target"]

SMALLEST = 2.0**-40
"""Probabilities are at least this before their logarithm is taken."""


def loss_value(loss: Loss, outputs: Floats, targets: Floats) -> Floats:
    """The loss of every sample.

    Parameters
    ----------
    loss
        A loss of :data:`LOSSES`.
    outputs, targets
        The network's results and what they should be, (M, N) float64; the results are
        probabilities for cross-entropy and binary-cross-entropy.

    Returns
    -------
    Float64 of shape (M,).
    """
    parameter = 0.0 if loss.parameter is None else loss.parameter
    return np.asarray(_VALUES[loss.name](outputs, targets, parameter).sum(axis=1))


def _half_square(z: Floats, t: Floats, _: float) -> Floats:
    return 0.5 * (z - t) ** 2


def _absolute(z: Floats, t: Floats, _: float) -> Floats:
    return np.asarray(np.abs(z - t))


def _huber(z: Floats, t: Floats, delta: float) -> Floats:
    distance = np.abs(z - t)
    return np.where(distance <= delta, 0.5 * distance**2, delta * (distance - 0.5 * delta))


def _log_cosh(z: Floats, t: Floats, _: float) -> Floats:
    """log((e^d + e^-d) / 2) without powers that overflow."""
    distance = np.abs(z - t)
    return np.asarray(distance + np.log1p(np.exp(-2.0 * distance)) - np.log(2.0))


def _quantile(z: Floats, t: Floats, gamma: float) -> Floats:
    return np.where(t > z, gamma * (t - z), (1.0 - gamma) * (z - t))


def _cross_entropy(z: Floats, t: Floats, _: float) -> Floats:
    return -t * np.log(np.maximum(z, SMALLEST))


def _binary_cross_entropy(z: Floats, t: Floats, _: float) -> Floats:
    yes, no = np.maximum(z, SMALLEST), np.maximum(1.0 - z, SMALLEST)
    return -t * np.log(yes) - (1.0 - t) * np.log(no)


def _hinge(z: Floats, t: Floats, _: float) -> Floats:
    return np.maximum(0.0, 1.0 - t * z)


_VALUES: Mapping[str, Callable[[Floats, Floats, float], Floats]] = {
    "mse": _half_square,
    "mae": _absolute,
    "huber": _huber,
    "log-cosh": _log_cosh,
    "quantile": _quantile,
    "cross-entropy": _cross_entropy,
    "binary-cross-entropy": _binary_cross_entropy,
    "hinge": _hinge,
    "perceptron": _half_square,
}


def lowest_target(loss: Loss, targets: Floats) -> float | None:
    """The target that says no: 0 or -1, where 1 says yes; None if the targets are no classes.

    A loss that allows only 0 and 1, or only -1 and 1, decides it; for the others the targets do,
    so give them all, not a batch.
    """
    if loss.rule.targets is not None:
        return min(loss.rule.targets)
    for low in (0.0, -1.0):
        if np.isin(targets, (low, 1.0)).all():
            return low
    return None


def correct(loss: Loss, outputs: Floats, targets: Floats) -> npt.NDArray[np.bool_] | None:
    """Which samples are classified rightly.

    Where every sample has exactly one yes among several outputs, the largest output answers;
    otherwise every output must lie on its target's side of the middle between yes and no.

    Parameters
    ----------
    loss
        The loss, for the targets it allows.
    outputs, targets
        As for :func:`loss_value`.

    Returns
    -------
    Bool of shape (M,), or None if the targets are no classes (see :func:`lowest_target`).
    """
    low = lowest_target(loss, targets)
    if low is None:
        return None
    if targets.shape[1] > 1 and ((targets == 1.0).sum(axis=1) == 1).all():
        return np.asarray(outputs.argmax(axis=1) == targets.argmax(axis=1))
    middle = 0.5 * (low + 1.0)
    return np.asarray(((outputs > middle) == (targets > middle)).all(axis=1))
