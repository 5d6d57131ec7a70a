"""From operators to steps: each what the machine does in one go, before a result is rounded."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from math import inf

import numpy as np

from pulsarray.compiler.graph import Activate, Graph, Node, Softmax
from pulsarray.compiler.ir.value import Floats
from pulsarray.compiler.quantization.fold import readers
from pulsarray.compiler.spatial import (
    Add,
    AveragePool,
    Concat,
    Convolution,
    MaxPool,
    TransposedConvolution,
)

__all__ = ["Step", "fuse_graph"]

CURVES = ("sigmoid", "tanh", "step")


@dataclass(frozen=True, eq=False)
class Step:
    """An operator, with the activations and the sum that are computed together with it.

    Parameters
    ----------
    node
        The operator; an ``Activate`` where nothing before it can take it in.
    output
        Name of the result.
    raw
        Name of the value before the activations (but with the residual).
    activations
        What follows, in order.
    residual
        Name of a value that is added before the activations; only with a convolution.
    """

    node: Node
    output: str
    raw: str
    activations: tuple[Activate, ...] = ()
    residual: str | None = None

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the values that it reads."""
        return self.node.inputs if self.residual is None else (*self.node.inputs, self.residual)

    @property
    def functions(self) -> tuple[Activate, ...]:
        """All activations, with that which is the operator itself."""
        own = (self.node,) if isinstance(self.node, Activate) else ()
        return (*own, *self.activations)

    @property
    def limits(self) -> tuple[float, float] | None:
        """The interval that all activations together cut to; None if one of them is a curve."""
        if any(a.function in CURVES for a in self.functions):
            return None
        low, high = self.activate(np.array([-inf, inf]))
        return float(low), float(high)

    def activate(self, values: Floats) -> Floats:
        """All activations of real values."""
        for activation in self.functions:
            values = activation(values)
        return values


def fuse_graph(graph: Graph, rounded: Collection[str] = ()) -> tuple[list[Step], str]:
    """The steps of a folded network, and what a host applies to the last one's result.

    An activation joins the step before it, and a sum the convolution before it, where nothing
    else reads what is between the two, and it is not one of the values ``rounded``.
    """
    uses = readers(graph.nodes)
    uses.update(list(rounded))
    steps: list[Step] = []
    after = ""
    for node in graph.nodes:
        if isinstance(node, Softmax):
            after = "softmax"
        elif isinstance(node, Activate):
            _activate(steps, node, uses[node.input] == 1)
        elif isinstance(node, Add):
            _add(steps, node, [name for name in node.inputs if uses[name] == 1])
        else:
            steps.append(Step(node, node.output, node.output))
    if not steps:
        name = graph.input.name
        steps.append(Step(Activate(graph.name, name, "", "clip"), "", name))
    steps[-1] = replace(steps[-1], output=graph.output.name)
    return steps, after


def _activate(steps: list[Step], node: Activate, alone: bool) -> None:
    for place, step in enumerate(steps):
        if alone and step.output == node.input and _takes(step.node, node):
            activations = (*step.activations, node)
            steps[place] = replace(step, output=node.output, activations=activations)
            return
    steps.append(Step(node, node.output, node.input))


def _takes(node: Node, activation: Activate) -> bool:
    """Whether an operator can apply a function to its result."""
    if isinstance(node, Convolution | TransposedConvolution | Activate):
        return True
    if isinstance(node, Concat) and activation.is_identity:
        return True
    return isinstance(node, Add | AveragePool | MaxPool) and activation.function not in CURVES


def _add(steps: list[Step], node: Add, free: Sequence[str]) -> None:
    for place in reversed(range(len(steps))):
        step = steps[place]
        plain = isinstance(step.node, Convolution) and step.output == step.raw
        if plain and step.residual is None and step.output in free:
            other = node.inputs[1] if node.inputs[0] == step.output else node.inputs[0]
            steps.pop(place)
            steps.append(Step(step.node, node.output, node.output, residual=other))
            return
    steps.append(Step(node, node.output, node.output))
