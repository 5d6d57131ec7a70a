"""From a network, a loss and an optimizer to what a training step computes, layer by layer.

The rules are those of docs/training.md. The lowering to instructions
(:mod:`pulsarray.compiler.training.lower`) and the interpreter
(:mod:`pulsarray.compiler.training.interpreter`) read them here.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pulsarray.compiler.ir.formats import Shared16
from pulsarray.compiler.ir.graph import Graph, Node, needed
from pulsarray.compiler.ir.value import Role, Shape, Value
from pulsarray.compiler.ops.loss import LOSSES, Loss
from pulsarray.compiler.ops.optimizer import Optimizer, Stateful
from pulsarray.compiler.passes.pipeline import TRAINING, Goal, passed
from pulsarray.compiler.passes.training.ends import LOSS_ERROR
from pulsarray.compiler.passes.training.updates import MASTER, RATES
from pulsarray.compiler.training.flow import ERROR, Flow
from pulsarray.compiler.training.layers import Step, members_of, steps_of

__all__ = ["LOSSES", "Loss", "Optimizer", "TrainingNetwork", "differentiate"]


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
        Its layers in order; those that share weights are one, by the name of their parameters.
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

    @cached_property
    def members(self) -> Mapping[str, Sequence[Step]]:
        """By layer the steps that have its parameters."""
        return members_of(self.steps)

    def learners(self, layer: str) -> Sequence[Step]:
        """Those of them that its gradients come from."""
        return [step for step in self.members[layer] if step.scales]

    @property
    def last(self) -> Step:
        """The last step, whose result is compared with the target."""
        return self.steps[-1]

    @property
    def input_shape(self) -> Shape:
        """Of a sample as a host has it; several inputs are side by side."""
        inputs = self.graph.inputs
        return self.graph.input.shape if len(inputs) == 1 else (sum(v.size for v in inputs),)

    def inputs(self, samples: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Every input by its name, (samples, H, W, C), from samples (samples, elements)."""
        shapes = self.flow.inputs
        ends = np.cumsum([prod(shape) for shape in shapes.values()])
        parts = np.split(samples.reshape(len(samples), -1), ends[:-1], axis=1)
        return {
            name: part.reshape(len(part), *shape)
            for (name, shape), part in zip(shapes.items(), parts, strict=True)
        }

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
        height, width, _ = self.last.result
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
        names = (LOSS_ERROR, f"{self.last.name}{ERROR}")
        return next(name for name in names if name in self.nodes.values)

    @cached_property
    def flow(self) -> Flow:
        """How values and errors flow through the steps."""
        return Flow(self.nodes, self.steps)

    @cached_property
    def updates(self) -> Sequence[Node]:
        """What a step computes once, from the gradients of its whole batch: all else comes before.

        It is what depends on rates or on what the optimizer keeps.
        """
        late = {v.name for v in self.nodes.declared if v.role is Role.STATE or v.name in RATES}
        nodes = []
        for node in self.nodes.nodes:
            if late.intersection(node.inputs):
                late.add(node.output)
                nodes.append(node)
        return nodes

    def updates_of(self, parameter: str) -> Sequence[Node]:
        """Those of one parameter."""
        return needed(self.updates, [self.nodes.states[parameter]])

    @cached_property
    def stateful(self) -> Mapping[str, Sequence[Stateful]]:
        """By parameter the updates that keep something beside it, in the order of the states."""
        ops = {node.output: node.op for node in self.updates}
        by_name: dict[str, list[Stateful]] = {}
        for value in self.nodes.declared:
            op = ops.get(self.nodes.states.get(value.name, ""))
            if isinstance(op, Stateful):
                by_name.setdefault(value.name.rpartition(".")[0], []).append(op)
        return by_name

    def stored(self, parameter: str) -> list[str]:
        """Names of all that is kept of a parameter: itself, weights in 32 bits, and memories."""
        masters = [f"{parameter}{MASTER}"] if parameter.endswith(".weight") else []
        memories = (op.memory.name for op in self.stateful.get(parameter, ()))
        return [parameter, *masters, *(f"{parameter}.{name}" for name in memories)]

    @cached_property
    def rates(self) -> Sequence[str]:
        """What its updates read besides, of :data:`RATES`."""
        return [name for name in RATES if name in self.nodes.values]

    @cached_property
    def chunk_nodes(self) -> Sequence[Node]:
        """What a step computes of each chunk of a batch: all that is no update."""
        outputs = {node.output for node in self.updates}
        return [node for node in self.nodes.nodes if node.output not in outputs]

    @property
    def kept(self) -> Sequence[Value]:
        """What a step reads of those before it, and its rates."""
        known = (v for v in self.nodes.declared if v.role is not Role.ACTIVATION)
        return [v for v in known if v.role is not Role.INPUT or v.name in RATES]

    @cached_property
    def exponents(self) -> Mapping[str, int | None]:
        """Every exponent that a step may adapt or that the rules fix."""
        values = (v for v in self.nodes.values.values() if v.role is Role.ACTIVATION)
        forms = (v.format for v in values if isinstance(v.format, Shared16))
        names = {v.name for v in self.nodes.declared if v.role is not Role.ACTIVATION}
        return {form.name: form.fixed for form in forms if form.name not in names}


def _layer(name: str, members: Sequence[Step]) -> Step:
    """The layer that some steps are: one that learns, if there is one."""
    return replace(next((step for step in members if step.scales), members[0]), name=name)


def differentiate(
    graph: Graph, loss: Loss, optimizer: Optimizer, frozen: Collection[str] = ()
) -> TrainingNetwork:
    """The training network of a graph, whose ``frozen`` layers do not learn.

    Of operators that share parameters some may be frozen: the others learn them.

    Raises
    ------
    InputError
        If an operator cannot be trained, the loss does not fit the output, or no layer learns.
    """
    graph = passed(graph, TRAINING[:1])
    nodes = passed(graph, TRAINING[1:], Goal(loss, frozen, optimizer))
    steps = [replace(s, scales={}) if s.name in frozen else s for s in steps_of(nodes)]
    layers = [_layer(name, steps) for name, steps in members_of(steps).items()]
    return TrainingNetwork(graph, nodes, layers, loss, optimizer, steps, frozenset(frozen))
