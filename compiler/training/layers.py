"""The steps that a training network is lowered in: an operator each, and its activation.

Every step has a name, which is also that of the value that it gives; ``input`` is the network's
input. A value is a feature map (H, W, C); a vector of C numbers is the map (1, 1, C).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import singledispatch
from typing import Any

import numpy as np

from pulsarray.compiler.ir.graph import Graph, Node
from pulsarray.compiler.ir.operator import Operator
from pulsarray.compiler.ir.value import Floats
from pulsarray.compiler.ir.window import Window
from pulsarray.compiler.numerics.exponents import DERIVATIVES, SLOPE, Derivative
from pulsarray.compiler.ops.convolution import Convolution
from pulsarray.compiler.ops.dropout import Dropout
from pulsarray.compiler.ops.pooling import AveragePool, MaxPool
from pulsarray.compiler.ops.softmax import Softmax
from pulsarray.compiler.ops.statistics import Normalize, NormalizeChannels, ScaleShift
from pulsarray.compiler.passes.training.activations import OUTPUT, SUM
from pulsarray.compiler.passes.training.maps import is_data, owner_of

__all__ = ["DIVIDES", "MapShape", "Step", "is_vector", "members_of", "steps_of"]

MapShape = tuple[int, int, int]
"""Rows, columns and channels."""


DIVIDES = ("log2", "exp", "reciprocal")
"""The function tables that division by a root takes."""
_ONE = Window((1, 1))


def is_vector(shape: MapShape) -> bool:
    """Whether a map has one pixel."""
    return shape[:2] == (1, 1)


@dataclass(frozen=True, eq=False, kw_only=True)
class Step:
    """Any step.

    Parameters
    ----------
    name, op
        Its name, and its operator; of a normalization :class:`Normalize`.
    owner
        What its parameters are named by: itself, or of several that share them something else.
    sources
        The values that it reads.
    given, result
        Shape of the sources, and of the result.
    activation
        A name of ``DERIVATIVES``: what its sums become before they are rounded.
    scales
        By parameter that learns, the name of its gradient's exponent.
    window, groups, share, rate, epsilon
        Of the operator, where it has them.
    divides
        The function tables that it takes to divide by sums or deviations.
    weight, bias
        Parameters before the first step, float64: (kh kw C / groups, N), in the order kernel row,
        kernel column, channel, and (N,); of a normalization (1, C) and (C,); empty without.
    """

    name: str
    op: Operator
    sources: tuple[str, ...]
    given: MapShape
    result: MapShape
    activation: str = "identity"
    scales: Mapping[str, str] = field(default_factory=dict)
    window: Window = _ONE
    groups: int = 1
    share: float = 1.0
    rate: float = 0.0
    epsilon: float = 0.0
    divides: tuple[str, ...] = ()
    owner: str = ""
    weight: Floats = field(default_factory=lambda: np.zeros((0, 0)))
    bias: Floats = field(default_factory=lambda: np.zeros(0))

    @property
    def source(self) -> str:
        """The first value that it reads."""
        return self.sources[0]

    @property
    def is_layer(self) -> bool:
        """Whether it has parameters."""
        return self.weight.size > 0

    @property
    def learned(self) -> tuple[str, ...]:
        """Names of the parameters that learn."""
        return tuple(self.scales)

    @property
    def derivative(self) -> Derivative:
        """The rule of its activation."""
        return DERIVATIVES[self.activation]

    @property
    def tables(self) -> tuple[str, ...]:
        """The function tables that it needs."""
        if self.derivative.gated:
            gate = () if self.derivative.steps else (self.activation,)
            return *gate, f"{self.activation}{SLOPE}"
        return () if self.derivative.argument is None else (self.activation,)


def steps_of(graph: Graph) -> list[Step]:
    """The steps of what the passes of training make of a network, in order."""
    steps: dict[str, Step] = {}
    for node in graph.nodes:
        source = node.inputs[0]
        if source.endswith(SUM):
            name = source.removesuffix(SUM)
            steps[name] = replace(steps[name], activation=node.op.variant)
        elif node.output.endswith((OUTPUT, SUM)):
            steps[node.name] = _step(graph, node)
    return list(steps.values())


def members_of(steps: Sequence[Step]) -> dict[str, list[Step]]:
    """By what parameters are named by, the steps that have them."""
    members: dict[str, list[Step]] = {}
    for step in steps:
        if step.is_layer:
            members.setdefault(step.owner, []).append(step)
    return members


def _step(graph: Graph, node: Node) -> Step:
    main = _main(node.op, node, graph)
    sources = [name for name in main.inputs if is_data(name) or name.endswith(OUTPUT)]
    fields: dict[str, Any] = {
        "name": node.name,
        "op": main.op,
        "sources": tuple(name.removesuffix(OUTPUT) for name in sources),
        "given": graph.values[sources[0]].shape,
        "result": graph.values[node.output].shape,
        **_attributes(main.op),
    }
    if main.op.is_elementwise:
        fields["activation"] = main.op.variant
    if not node.op.constants:
        return Step(**fields)
    weight, bias = (graph.values[name].array for name in node.inputs[1:])
    flat = weight.reshape(-1, weight.shape[-1])
    scales = _scales(graph, node)
    return Step(weight=flat, bias=bias, scales=scales, owner=owner_of(node), **fields)


def _scales(graph: Graph, node: Node) -> Mapping[str, str]:
    """Of parameters that have a gradient, the name of its exponent."""
    gradients = {name: f"{name}.gradient" for name in node.inputs[1:]}
    known = {name: graph.values.get(gradient) for name, gradient in gradients.items()}
    return {name: value.scale for name, value in known.items() if value is not None}


@singledispatch
def _main(_op: Operator, node: Node, _graph: Graph) -> Node:
    """The node that says what a step is."""
    return node


@_main.register
def _(_op: ScaleShift, node: Node, graph: Graph) -> Node:
    """The batch normalization before it."""
    normal = next(other for other in graph.nodes if other.output == node.inputs[0])
    return normal if normal.op.mixes_samples else node


@singledispatch
def _attributes(_op: Operator) -> dict[str, Any]:
    """What a step has of its operator."""
    return {}


@_attributes.register
def _(op: Convolution) -> dict[str, Any]:
    return {"window": op.window, "groups": op.groups}


@_attributes.register
def _(op: MaxPool) -> dict[str, Any]:
    return {"window": op.window}


@_attributes.register
def _(op: AveragePool) -> dict[str, Any]:
    return {"window": op.window, "share": op.share}


@_attributes.register
def _(op: Dropout) -> dict[str, Any]:
    return {"share": op.share, "rate": op.rate}


@_attributes.register
def _(op: Normalize | NormalizeChannels) -> dict[str, Any]:
    return {"epsilon": op.epsilon, "divides": DIVIDES}


@_attributes.register
def _(_op: Softmax) -> dict[str, Any]:
    return {"divides": ("exp", "reciprocal")}
