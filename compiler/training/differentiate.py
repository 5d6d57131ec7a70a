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

from pulsarray.compiler.ir.formats import Shared16
from pulsarray.compiler.ir.graph import Graph
from pulsarray.compiler.ir.value import Role
from pulsarray.compiler.ops.loss import LOSSES, Loss
from pulsarray.compiler.passes.pipeline import TRAINING, Goal, passed
from pulsarray.compiler.passes.training.ends import LOSS_ERROR, TARGET
from pulsarray.compiler.passes.training.maps import INPUT
from pulsarray.compiler.training.flow import ERROR, Flow
from pulsarray.compiler.training.layers import Step, steps_of
from pulsarray.errors import InputError

__all__ = ["LOSSES", "Loss", "Optimizer", "TrainingNetwork", "differentiate"]


_MOST_SQUARES = 0.9999
"""Largest beta2: sums of squares have bits below those of gradients then."""


@dataclass(frozen=True, kw_only=True)
class Optimizer:
    """Stochastic gradient descent, or Adam (Kingma and Ba 2015).

    Parameters
    ----------
    momentum
        From 0, without momentum, to below 1; of Adam beta1.
    weight_decay
        Of weights, times the learning rate, what a step takes off; 0 or more.
    squares
        Of Adam beta2, with which it divides steps by the root of the mean of squares of gradients;
        0 without.
    epsilon
        Added to that root.

    Raises
    ------
    InputError
        If one is out of range.
    """

    momentum: float = 0.0
    weight_decay: float = 0.0
    squares: float = 0.0
    epsilon: float = 1e-8

    @property
    def divides(self) -> bool:
        """Whether steps are divided by roots of means of squares."""
        return self.squares > 0

    def __post_init__(self) -> None:
        if not 0 <= self.squares <= _MOST_SQUARES:
            raise InputError(f"beta2: must be from 0 to {_MOST_SQUARES}, not {self.squares:g}")
        if self.divides and not 0 < self.momentum**2 < self.squares:
            raise InputError(
                f"beta1: must be more than 0 and its square less than beta2 = {self.squares:g}, "
                f"not {self.momentum:g}"
            )
        if not (self.epsilon > 0 and isfinite(self.epsilon)):
            raise InputError(f"epsilon: must be more than 0 and finite, not {self.epsilon:g}")
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
    nodes
        What a step computes, errors and gradients among it (:data:`TRAINING`).
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
    nodes: Graph
    layers: Sequence[Step]
    loss: Loss
    optimizer: Optimizer
    steps: Sequence[Step]
    frozen: frozenset[str] = frozenset()

    @property
    def learning(self) -> list[Step]:
        """The layers that learn."""
        return [layer for layer in self.layers if layer.scales]

    @property
    def answer(self) -> str:
        """Name of the value that is the network's result."""
        return self.nodes.outputs[0]

    @property
    def judged(self) -> int:
        """Pixels of its result: each is compared with a target of its own."""
        height, width, _ = self.layers[-1].result
        return height * width

    @property
    def drops(self) -> Mapping[str, float]:
        """Dropouts, with the probability of becoming 0."""
        return {step.name: step.rate for step in self.steps if step.op.only_trains}

    @property
    def needs_whole_batch(self) -> bool:
        """Whether something of it mixes the samples of a batch."""
        return any(step.op.mixes_samples for step in self.steps)

    @property
    def normalizes(self) -> bool:
        """Whether something of it is divided by a deviation."""
        return any(step.epsilon for step in self.steps)

    @property
    def loss_error(self) -> str:
        """Name of the loss's gradient: ``loss.error``, or the last layer's error itself."""
        last = self.layers[-1]
        return next(n for n in (LOSS_ERROR, f"{last.name}{ERROR}") if n in self.nodes.values)

    @cached_property
    def flow(self) -> Flow:
        """How values and errors flow through the steps."""
        return Flow(self.nodes, self.steps)

    @cached_property
    def exponents(self) -> Mapping[str, int | None]:
        """Every exponent that a step may adapt or that the rules fix."""
        values = (v for v in self.nodes.values.values() if v.role is Role.ACTIVATION)
        forms = (v.format for v in values if isinstance(v.format, Shared16))
        return {form.name: form.fixed for form in forms if form.name not in (INPUT, TARGET)}


def differentiate(
    graph: Graph, loss: Loss, optimizer: Optimizer, frozen: Collection[str] = ()
) -> TrainingNetwork:
    """The training network of a graph, whose ``frozen`` layers do not learn.

    Raises
    ------
    InputError
        If an operator cannot be trained, the loss does not fit the output, or no layer learns.
    """
    graph = passed(graph, TRAINING[:1])
    nodes = passed(graph, TRAINING[1:], Goal(loss, frozen))
    steps = steps_of(nodes)
    layers = [step for step in steps if step.is_layer]
    return TrainingNetwork(graph, nodes, layers, loss, optimizer, steps, frozenset(frozen))
