"""Activations as part of what is right before them, where nothing is rounded in between."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import singledispatch

from pulsarray.compiler.ir.graph import Graph, Node
from pulsarray.compiler.ir.operator import Operator
from pulsarray.compiler.numerics.exponents import DERIVATIVES
from pulsarray.compiler.ops.add import Add
from pulsarray.compiler.ops.statistics import ScaleShift
from pulsarray.compiler.passes.training.maps import is_layer

__all__ = ["OUTPUT", "SUM", "with_activations"]

SUM = ".sum"
"""Ends the name of what an activation reads before it is rounded."""
OUTPUT = ".output"
"""Ends the name of what an operator gives."""


def with_activations(graph: Graph) -> Graph:
    """Sums that nothing but their activation reads, ReLU before maximum pooling."""
    plan = _Plan(graph)
    for node in graph.nodes:
        if node.op.is_elementwise:
            plan.place(node)
    nodes = [made for node in graph.nodes for made in plan.made(node)]
    return graph.rebuilt(nodes, outputs=tuple(plan.names.get(n, n) for n in graph.outputs))


@dataclass
class _Plan:
    """Which activations become part of what: ``parts`` by the value that they then write.

    ``names`` has the value that stands for the result of each of them.
    """

    graph: Graph
    parts: dict[str, Node] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.makers = {node.output: node for node in self.graph.nodes}
        self.readers = self.graph.readers

    def place(self, node: Node) -> None:
        """Find where an activation belongs."""
        value = node.inputs[0]
        source = self.names.get(value, value)
        target = self._upwards(source) if _is_relu(node.op) else source
        if self.readers[value] > 1 or target in self.parts or not self._takes(target, node.op):
            return
        self.parts[target] = node
        self.names[node.output] = source

    def _upwards(self, name: str) -> str:
        """A value, or what maximum poolings made it of: a ReLU does the same there."""
        while name in self.makers and _is_maximum(self.makers[name].op):
            name = self.makers[name].inputs[0]
            name = self.names.get(name, name)
        return name

    def _takes(self, name: str, function: Operator) -> bool:
        maker = self.makers.get(name)
        return maker is not None and _takes(maker.op, function)

    def made(self, node: Node) -> list[Node]:
        """What stands for an operator."""
        if node.output in self.names:
            return []
        node = node.renamed(self.names)
        function = self.parts.get(node.output)
        if function is None:
            return [node]
        between = node.output.removesuffix(OUTPUT) + SUM
        after = Node(f"{node.name}.{function.op.title}", function.op, (between,), node.output)
        return [node.renamed({node.output: between}), after]


@singledispatch
def _takes(op: Operator, function: Operator) -> bool:
    """Whether an activation may be part of an operator, without a further rounding."""
    return is_layer(op) and not DERIVATIVES[function.variant].gated


@_takes.register
def _(_op: Add, function: Operator) -> bool:
    return _is_relu(function)


@_takes.register
def _(_op: ScaleShift, function: Operator) -> bool:
    return _is_relu(function)


def _is_relu(op: Operator) -> bool:
    return op.variant == "relu"


def _is_maximum(op: Operator) -> bool:
    """Whether a function that never falls may as well come before it."""
    return op.only_chooses and not op.only_moves
