"""From the graph of a training step to the steps that are lowered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import singledispatchmethod

from pulsarray.compiler.ir.graph import Graph, Node
from pulsarray.compiler.ir.operator import Operator
from pulsarray.compiler.ir.value import Floats
from pulsarray.compiler.ops.add import Add
from pulsarray.compiler.ops.convolution import Convolution
from pulsarray.compiler.ops.dropout import Dropout
from pulsarray.compiler.ops.function import Function
from pulsarray.compiler.ops.pooling import AveragePool, MaxPool
from pulsarray.compiler.ops.statistics import Normalize, ScaleShift
from pulsarray.compiler.passes.training.activations import OUTPUT, SUM
from pulsarray.compiler.passes.training.maps import function_name
from pulsarray.compiler.training.layers import (
    ActivateStep,
    AddStep,
    AverageStep,
    DropStep,
    MapLayer,
    MapShape,
    NormLayer,
    PoolStep,
    Step,
)

__all__ = ["steps_of"]


def steps_of(graph: Graph) -> Sequence[Step]:
    """The steps of the graph that :data:`TRAINING` makes, from the input to the output."""
    steps = _Steps(graph)
    for node in graph.nodes:
        if node.output.endswith((OUTPUT, SUM)):
            steps.place(node.op, node)
    return list(steps.made.values())


class _Steps:
    """The steps by name."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.made: dict[str, Step] = {}
        self.makers = {node.output: node for node in graph.nodes}

    @singledispatchmethod
    def place(self, op: Operator, node: Node) -> None:
        """The step of an operator, or what an activation makes of the one before."""
        raise TypeError(op)

    def _shape(self, value: str) -> MapShape:
        height, width, channels = self.graph.values[value].shape
        return height, width, channels

    def _parameters(self, node: Node) -> tuple[Floats, Floats]:
        weight, bias = (self.graph.values[name].array for name in node.inputs[1:])
        return weight.reshape(-1, weight.shape[-1]), bias

    def _put(self, kind: type[Step], node: Node, value: str = "", **fields: object) -> None:
        """A step that reads a value, by default what its operator reads first."""
        source = value or node.inputs[0]
        self.made[node.name] = kind(
            name=node.name, sources=(source.removesuffix(OUTPUT),),
            given=self._shape(source), result=self._shape(node.output), **fields,  # type: ignore[arg-type]
        )  # fmt: skip

    @place.register
    def _(self, op: Convolution, node: Node) -> None:
        weight, bias = self._parameters(node)
        reader = next((n for n in self.graph.nodes if node.output in n.inputs), node)
        self._put(
            MapLayer, node, weight=weight, bias=bias, window=op.window, groups=op.groups,
            normalized=reader.output.endswith(".mean"),
        )  # fmt: skip

    @place.register
    def _(self, _op: ScaleShift, node: Node) -> None:
        weight, bias = self._parameters(node)
        normal = self.makers[node.inputs[0]]
        assert isinstance(normal.op, Normalize)
        self._put(
            NormLayer, node, normal.inputs[0], weight=weight, bias=bias, epsilon=normal.op.epsilon
        )

    @place.register
    def _(self, op: Dropout, node: Node) -> None:
        self._put(DropStep, node, rate=op.rate)

    @place.register
    def _(self, op: AveragePool, node: Node) -> None:
        self._put(AverageStep, node, window=op.window)

    @place.register
    def _(self, _op: Add, node: Node) -> None:
        self._put(AddStep, node)
        sources = tuple(name.removesuffix(OUTPUT) for name in node.inputs)
        self.made[node.name] = replace(self.made[node.name], sources=sources)

    @place.register
    def _(self, op: MaxPool, node: Node) -> None:
        before = self.made.get(node.inputs[0].removesuffix(OUTPUT))
        gated = before is not None and before.derivative.gated
        activation = "identity" if before is None or gated else before.activation
        chained = gated or isinstance(before, PoolStep)
        self._put(PoolStep, node, window=op.window, activation=activation, chained=chained)

    @place.register
    def _(self, op: Function, node: Node) -> None:
        function, source = function_name(op), node.inputs[0]
        if source.endswith(SUM):
            name = source.removesuffix(SUM)
            self.made[name] = replace(self.made[name], activation=function)
        else:
            self._put(ActivateStep, node, activation=function)
