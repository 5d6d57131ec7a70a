"""The losses: what they ask of a network, and their gradients.

The values whose gradients docs/training.md lists: the mean over the batch is left to the caller,
and the squared error is half the sum of squares over the outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import inf

import numpy as np
import numpy.typing as npt

from pulsarray.compiler.ir.mantissas import Part, Rounding
from pulsarray.compiler.ir.operator import Kind, Operator
from pulsarray.compiler.ir.value import Array, Shape
from pulsarray.compiler.numerics.exponents import ALIGNED, CODE_ONE, FRACTION
from pulsarray.compiler.numerics.mantissas import LARGEST, rne, sym
from pulsarray.compiler.numerics.tables import table
from pulsarray.errors import InputError, did_you_mean

__all__ = ["LOSSES", "Loss", "LossGradient", "LossRule"]

Ints = npt.NDArray[np.int64]
_ONE = 1 << 15


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

    def __str__(self) -> str:
        return self.name if self.parameter is None else f"{self.name}({self.parameter:g})"

    @property
    def rule(self) -> LossRule:
        """Its rule."""
        return LOSSES[self.name]


@dataclass(frozen=True)
class LossGradient(
    Operator,
    title="loss_gradient",
    summary="the gradient of a loss by the network's outputs, summed over the batch",
    kind=Kind.TRAINING,
    reads=("output", "target"),
):
    """The gradient of a loss, by the last sums where the loss has the last derivative in it.

    Parameters
    ----------
    loss
        The loss.
    """

    loss: Loss

    @property
    def jumps(self) -> bool:
        """Where the loss has kinks."""
        return self.loss.name in _KINKS

    def shape(self, *shapes: Shape) -> Shape:
        """Shape of the result, the same.

        Raises
        ------
        InputError
            If target and output differ.
        """
        output, target = shapes
        if output != target:
            raise InputError(f"target must have shape {output}, not {target}")
        return output

    def real(self, *arrays: Array) -> Array:
        """The definition, from outputs and targets; of what ends with softmax, probabilities."""
        output, target = arrays
        slope = _SLOPES.get(self.loss.name, _difference)
        return np.asarray(slope(output, target, self.loss.parameter or 0.0))

    def mantissas(self, parts: Sequence[Part], rounding: Rounding) -> Part:
        """Of outputs and targets at 2^-30; of cross-entropy rows that sum to 0."""
        (z, e_z), (target, e_target) = parts
        exponent = self.loss.rule.error
        if self.loss.name == "cross-entropy":
            total = z.sum(axis=-1, keepdims=True)
            return rounding.rounded(np.where(target > 0, z - total, z), e_z)
        if self.loss.name == "hinge":
            product = rne(z * target, ALIGNED - e_z - e_target)
            return np.where(product < 1 << -ALIGNED, -target, 0), e_target
        d = rne(z, ALIGNED - e_z) - rne(target, ALIGNED - e_target)
        slope = self._slope(d, rounding.segments)
        return rounding.rounded(slope, exponent if isinstance(exponent, int) else ALIGNED)

    def _slope(self, d: Ints, segments: int) -> Ints:
        """What most losses make of differences."""
        name, parameter = self.loss.name, self.loss.parameter
        if name == "mae":
            return np.asarray(np.sign(d) * (1 << -CODE_ONE), np.int64)
        if name == "log-cosh":
            return table("tanh", segments)(sym(rne(d, 17), 16))
        if parameter is None:
            return d
        if name == "quantile":
            over, under = (min(round(p * _ONE), LARGEST) for p in (1 - parameter, parameter))
            return np.asarray(np.where(d > 0, over, np.where(d < 0, -under, 0)), np.int64)
        most = round(parameter * (1 << -ALIGNED))
        return np.asarray(np.clip(d, -most, most), np.int64)


def _difference(z: Array, t: Array, _: float) -> Array:
    return np.asarray(z - t)


def _huber(z: Array, t: Array, delta: float) -> Array:
    return np.asarray(np.clip(z - t, -delta, delta))


def _quantile(z: Array, t: Array, gamma: float) -> Array:
    d = z - t
    return np.where(d > 0.0, 1.0 - gamma, np.where(d < 0.0, -gamma, 0.0))


def _hinge(z: Array, t: Array, _: float) -> Array:
    return np.where(z * t < 1.0, -t, 0.0)


_KINKS = ("mae", "quantile", "hinge")
_SLOPES: Mapping[str, Callable[[Array, Array, float], Array]] = {
    "mae": lambda z, t, _: np.sign(z - t),
    "huber": _huber,
    "log-cosh": lambda z, t, _: np.tanh(z - t),
    "quantile": _quantile,
    "hinge": _hinge,
}
"""Of those that are no difference."""
