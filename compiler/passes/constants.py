"""What depends on constants alone becomes one."""

from __future__ import annotations

from pulsarray.compiler.ir.graph import Graph, Node
from pulsarray.compiler.ir.value import Value, constant

__all__ = ["with_constants"]


def with_constants(graph: Graph) -> Graph:
    """The network without operators that read constants alone; outputs stay results of theirs."""
    made: dict[str, Value] = {}
    for node in graph.nodes:
        values = [made.get(name, graph.values[name]) for name in node.inputs]
        if all(v.role.is_constant for v in values) and node.output not in graph.outputs:
            made[node.output] = _computed(node, values)
    nodes = [node for node in graph.nodes if node.output not in made]
    return graph.rebuilt(nodes, more=made.values())


def _computed(node: Node, values: list[Value]) -> Value:
    """The result of one sample, where constants are the same for all."""
    places = enumerate(value.array for value in values)
    arrays = [array if k in node.op.constants else array[None] for k, array in places]
    return constant(node.output, node.op.real(*arrays)[0])
