"""From a network, a loss and an optimizer to what a training step computes, layer by layer.

The rules are those of docs/training.md: :data:`DERIVATIVES` says how the gradient passes an
activation, :data:`LOSSES` where it comes from. The lowering to instructions
(:mod:`pulsarray.compiler.training.lower`) and the interpreter
(:mod:`pulsarray.compiler.training.interpreter`) read them here.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import inf, isfinite

from pulsarray.compiler.ir.graph import Graph
from pulsarray.compiler.passes.ends import host_function, with_plain_ends
from pulsarray.compiler.training.layers import (
    CODE_ONE,
    DERIVATIVES,
    FRACTION,
    Derivative,
    DropStep,
    MapLayer,
    NormLayer,
    Step,
    TrainingLayer,
)
from pulsarray.compiler.training.maps.flow import Flow
from pulsarray.compiler.training.maps.graph import needs_steps, steps_of
from pulsarray.errors import InputError, did_you_mean

__all__ = [
    "ALIGNED",
    "DERIVATIVES",
    "LOSSES",
    "Derivative",
    "Loss",
    "LossRule",
    "Optimizer",
    "TrainingLayer",
    "TrainingNetwork",
    "differentiate",
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


@dataclass(frozen=True, kw_only=True)
class Optimizer:
    """Stochastic gradient descent.

    Parameters
    ----------
    momentum
        From 0, without momentum, to below 1.
    weight_decay
        Added to the gradient of weights, times the weight; 0 or more.

    Raises
    ------
    InputError
        If one is out of range.
    """

    momentum: float = 0.0
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.momentum < 1:
            raise InputError(f"momentum: must be from 0 to below 1, not {self.momentum:g}")
        if not (self.weight_decay >= 0 and isfinite(self.weight_decay)):
            raise InputError(f"weight decay: must be 0 or more, not {self.weight_decay:g}")


@dataclass(frozen=True, eq=False)
class TrainingNetwork:
    """Everything that a training step computes.

    Parameters
    ----------
    graph
        The network.
    layers
        Its layers in order.
    loss, optimizer
        What is minimized, and how.
    frozen
        Names of layers that gradients pass through but that do not learn.
    steps
        Of a network of feature maps everything that it computes, its layers among it, in order;
        empty for a plain chain of dense layers.

    Members
    -------
    flow
        Of ``steps``, who reads what, and at which exponents.
    exponents
        By name (docs/training.md) a fixed exponent, or None for one that adapts; those of the
        data, the weights, the rates and the velocities are not in it.
    """

    graph: Graph
    layers: Sequence[TrainingLayer]
    loss: Loss
    optimizer: Optimizer
    frozen: frozenset[str] = frozenset()
    steps: Sequence[Step] = ()

    @property
    def learning(self) -> list[TrainingLayer]:
        """The layers that learn."""
        return [layer for layer in self.layers if layer.name not in self.frozen]

    @property
    def first(self) -> int:
        """Number of the first layer that learns: gradients need go no further."""
        return self.layers.index(self.learning[0])

    @property
    def loss_error(self) -> str:
        """Name of the loss's gradient: ``loss.error``, or the last layer's error itself."""
        last = self.layers[-1]
        own = last.derivative.own_error and not self.loss.rule.skips
        return "loss.error" if own else f"{last.name}.error"

    @cached_property
    def flow(self) -> Flow:
        """How values and errors flow through the steps."""
        return Flow(self.steps)

    @cached_property
    def exponents(self) -> Mapping[str, int | None]:
        """Every exponent that a step may adapt or that the rules fix."""
        found: dict[str, int | None] = {}
        if self.steps:
            found |= self.flow.exponents()
        else:
            for number, layer in enumerate(self.layers):
                found[f"{layer.name}.output"] = layer.derivative.output
                if number >= self.first:
                    found[f"{layer.name}.error"] = None
        for layer in self.learning:
            found |= dict.fromkeys(layer.scales.values())
        error = self.loss.rule.error
        if error == "target":
            found.pop(self.loss_error, None)
        else:
            found[self.loss_error] = error if isinstance(error, int) else None
        return found


def differentiate(
    graph: Graph, loss: Loss, optimizer: Optimizer, frozen: Collection[str] = ()
) -> TrainingNetwork:
    """The training network of a graph, whose ``frozen`` layers do not learn.

    Raises
    ------
    InputError
        If an operator cannot be trained, the loss does not fit the output, or no layer learns.
    """
    graph = with_plain_ends(graph)
    steps = steps_of(graph)
    layers = [step for step in steps if isinstance(step, MapLayer | NormLayer)]
    if not layers:
        raise InputError(f"{graph.name}: nothing in it can learn; training needs a dense layer")
    last = steps[-1]
    if not isinstance(last, MapLayer) or last.result[:2] != (1, 1):
        raise InputError(f"{last.name}: training needs a dense layer at the end{_hint(last)}")
    end = host_function(graph) or last.activation
    _check_loss(graph, loss, end, last.weight.shape[1])
    if needs_steps(graph):
        if frozen:
            raise InputError(f"frozen: {graph.name} has feature maps; all its layers learn")
        return TrainingNetwork(graph, layers, loss, optimizer, frozenset(), steps)
    _check_frozen(graph, layers, frozen)
    plain = [TrainingLayer(x.name, x.weight, x.bias, x.activation) for x in layers]
    return TrainingNetwork(graph, plain, loss, optimizer, frozenset(frozen))


def _hint(last: Step) -> str:
    """What to do about a network's last step."""
    if isinstance(last, DropStep):
        return "; what is dropped there would be compared with the target: leave it out"
    return f"; add one after {last.name}"


def _check_frozen(graph: Graph, layers: Sequence[TrainingLayer], frozen: Collection[str]) -> None:
    names = [layer.name for layer in layers]
    if unknown := set(frozen) - set(names):
        known = ", ".join(names)
        raise InputError(f"frozen: must be layers of {known}, not {', '.join(sorted(unknown))}")
    if set(names) == set(frozen):
        raise InputError(f"frozen: {graph.name} has no layer left that learns")


def _check_loss(graph: Graph, loss: Loss, end: str, outputs: int) -> None:
    wanted = loss.rule.after
    if wanted and end != wanted:
        raise InputError(
            f"loss: {loss.name} needs a network that ends with {wanted}, "
            f"{graph.name} ends with {end}"
        )
    if end == "softmax" and not wanted:
        raise InputError(f"loss: after softmax it must be cross-entropy, not {loss.name}")
    if end == "step" and loss.name != "perceptron":
        raise InputError(f"loss: after step it must be perceptron, not {loss.name}")
    if wanted == "softmax" and outputs < 2:
        raise InputError(
            f"loss: cross-entropy needs at least 2 outputs, {graph.name} has {outputs}; "
            "use sigmoid with binary-cross-entropy"
        )
