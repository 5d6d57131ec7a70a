"""The losses: what they ask of a network, what they are worth, and which answers are right.

The values whose gradients docs/training.md lists: the mean over the batch is left to the caller,
and the squared error is half the sum of squares over the outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf

import numpy as np
import numpy.typing as npt

from pulsarray.compiler.ir.value import Floats
from pulsarray.compiler.training.layers import CODE_ONE, FRACTION
from pulsarray.errors import InputError, did_you_mean

__all__ = [
    "ALIGNED",
    "LOSSES",
    "SMALLEST",
    "Loss",
    "LossRule",
    "correct",
    "loss_value",
    "lowest_target",
]

ALIGNED = -30
"""Exponent at which outputs and targets are subtracted."""


@dataclass(frozen=True)
class LossRule:
    """What a loss asks of the network, and how its gradient is scaled.

    Parameters
    ----------
    error
        Exponent of its gradient: a number, ``target`` for that of the target, None if it adapts.
    skips
        Whether the last activation's derivative is already in the gradient.
    after
        What the network must end with: ``softmax``, ``sigmoid``, or nothing.
    parameter
        Its default parameter; None if it has none.
    low, high
        Limits of the parameter, exclusive.
    targets
        The values that targets may have; None for any.
    """

    error: int | str | None = None
    skips: bool = False
    after: str = ""
    parameter: float | None = None
    low: float = -inf
    high: float = inf
    targets: tuple[float, ...] | None = None


LOSSES: Mapping[str, LossRule] = {
    "mse": LossRule(),
    "mae": LossRule(error=CODE_ONE),
    "huber": LossRule(parameter=1.0, low=0.0, high=65536.0),
    "log-cosh": LossRule(error=FRACTION),
    "quantile": LossRule(error=FRACTION, parameter=0.5, low=0.0, high=1.0),
    "cross-entropy": LossRule(skips=True, after="softmax", targets=(0.0, 1.0)),
    "binary-cross-entropy": LossRule(skips=True, after="sigmoid", targets=(0.0, 1.0)),
    "hinge": LossRule(error="target", targets=(-1.0, 1.0)),
    "perceptron": LossRule(after="step", targets=(0.0, 1.0)),
}
"""Every loss by name."""


@dataclass(frozen=True)
class Loss:
    """A loss of :data:`LOSSES`.

    Parameters
    ----------
    name
        Its name.
    parameter
        Huber's delta or the quantile's gamma; None for the default.

    Raises
    ------
    InputError
        If there is no such loss, or its parameter is out of range.
    """

    name: str
    parameter: float | None = None

    def __post_init__(self) -> None:
        if self.name not in LOSSES:
            raise InputError(
                f"loss: must be one of {', '.join(LOSSES)}, not {self.name!r}"
                f"{did_you_mean(self.name, LOSSES)}"
            )
        rule = self.rule
        if self.parameter is None:
            object.__setattr__(self, "parameter", rule.parameter)
        elif rule.parameter is None:
            raise InputError(f"loss: {self.name} has no parameter, not {self.parameter:g}")
        elif not rule.low < self.parameter < rule.high:
            limits = f"between {rule.low:g} and {rule.high:g}"
            raise InputError(
                f"loss: the parameter of {self.name} must be {limits}, not {self.parameter:g}"
            )

    @property
    def rule(self) -> LossRule:
        """Its rule."""
        return LOSSES[self.name]


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
