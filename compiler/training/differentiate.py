"""From a network, a loss and an optimizer to what a training step computes, layer by layer.

The rules are those of docs/training.md. The lowering to instructions
(:mod:`pulsarray.compiler.training.lower`) and the interpreter
(:mod:`pulsarray.compiler.training.interpreter`) read them here.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isfinite

from pulsarray.compiler.ir.graph import Graph
from pulsarray.compiler.passes.ends import host_function
from pulsarray.compiler.passes.pipeline import TRAINING, passed
from pulsarray.compiler.training.flow import Flow
from pulsarray.compiler.training.graph import steps_of
from pulsarray.compiler.training.layers import DropStep, MapLayer, Step, TrainingLayer, is_vector
from pulsarray.compiler.training.losses import LOSSES, Loss
from pulsarray.errors import InputError

__all__ = ["LOSSES", "Loss", "Optimizer", "TrainingNetwork", "differentiate"]


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
        Everything that it computes, its layers among it, in order.

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
    steps: Sequence[Step]
    frozen: frozenset[str] = frozenset()

    @property
    def learning(self) -> list[TrainingLayer]:
        """The layers that learn."""
        return [layer for layer in self.layers if layer.name not in self.frozen]

    @property
    def loss_error(self) -> str:
        """Name of the loss's gradient: ``loss.error``, or the last layer's error itself."""
        last = self.layers[-1]
        own = last.derivative.own_error and not self.loss.rule.skips
        return "loss.error" if own else f"{last.name}.error"

    @cached_property
    def flow(self) -> Flow:
        """How values and errors flow through the steps."""
        return Flow(self.steps, self.frozen)

    @cached_property
    def exponents(self) -> Mapping[str, int | None]:
        """Every exponent that a step may adapt or that the rules fix."""
        found = self.flow.exponents()
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
    graph = passed(graph, TRAINING)
    steps = steps_of(graph)
    layers = [step for step in steps if isinstance(step, TrainingLayer)]
    if not layers:
        raise InputError(f"{graph.name}: nothing in it can learn; training needs a dense layer")
    last = steps[-1]
    if not isinstance(last, MapLayer) or not is_vector(last.result):
        raise InputError(f"{last.name}: training needs a dense layer at the end{_hint(last)}")
    end = host_function(graph) or last.activation
    _check_loss(graph, loss, end, last.weight.shape[1])
    _check_frozen(graph, layers, frozen)
    return TrainingNetwork(graph, layers, loss, optimizer, steps, frozenset(frozen))


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
