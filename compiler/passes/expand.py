"""Composite operators become kernels."""

from __future__ import annotations

from collections.abc import Collection

from pulsarray.compiler.ir.graph import Graph, Node
from pulsarray.compiler.ir.operator import Kind, Operator
from pulsarray.compiler.ir.value import Array, Value, activation, constant

__all__ = ["expand"]


def expand(graph: Graph, keep: Collection[str] = (), *, ends: bool = False) -> Graph:
    """The network with what its composites are made of in their places.

    Parameters
    ----------
    graph
        The network.
    keep
        Titles of composites that stay as they are.
    ends
        Whether those at the network's end, which the host can compute, are expanded, too.
    """
    inner = graph.readers
    inner.update(graph.states.values())
    places = {
        node.name
        for node in graph.nodes
        if node.op.title not in keep and _is_open(node, ends or inner[node.output] > 0)
    }
    return expand(_expanded(graph, places), keep, ends=ends) if places else graph


def _is_open(node: Node, inside: bool) -> bool:
    """Whether an operator is a composite at its place."""
    return node.op.kind is Kind.COMPOSITE or (
        inside and node.op.kind is Kind.HOST and node.op.is_composite()
    )


def _expanded(graph: Graph, places: Collection[str]) -> Graph:
    """The network with what these operators are made of, which can be composites again."""
    nodes: list[Node] = []
    constants: list[Value] = []
    for node in graph.nodes:
        if node.name in places:
            block = _Block(node.name)
            result = node.op.expand(block, *graph.inputs_of(node))
            nodes += (made.renamed({result.name: node.output}) for made in block.nodes)
            constants += block.constants
        else:
            nodes.append(node)
    return graph.rebuilt(nodes, more=constants)


class _Block:
    """Operators in the place of one, whose name theirs begin with."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.nodes: list[Node] = []
        self.constants: list[Value] = []

    def __call__(self, op: Operator, *inputs: Value) -> Value:
        shape = op.shape(*(value.shape for value in inputs))
        name = f"{self.name}.{op.title}{len(self.nodes)}"
        self.nodes.append(Node(name, op, tuple(value.name for value in inputs), name))
        return activation(name, shape)

    def constant(self, what: str, data: Array) -> Value:
        made = constant(f"{self.name}.{what}", data)
        self.constants.append(made)
        return made
