"""Results of which a host makes something get the name that this has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import replace

from pulsarray.compiler.ir.graph import Graph, Node
from pulsarray.compiler.ir.operator import Kind
from pulsarray.compiler.ops.clip import Clip

__all__ = ["host_names", "with_host_ends"]


def host_names(graph: Graph) -> dict[str, str]:
    """New names of values and outputs of which :func:`with_host_ends` changes the names."""
    hosted = [node for node in graph.nodes if node.op.kind is Kind.HOST]
    inputs = {value.name for value in graph.entries}
    reads = Counter(node.inputs[0] for node in hosted)
    names: dict[str, str] = {}
    for node in hosted:
        (source,), output = node.inputs, node.output
        if source in inputs or not (source in graph.outputs or reads[source] > 1):
            names[output] = _free(graph, f"{output}.{node.op.title}")
            if source not in inputs:
                names[source] = output
    return names


def with_host_ends(graph: Graph) -> Graph:
    """The network in which a value that becomes one output by way of the host has its name.

    What the host makes of it is then called by its operator, too. Values that are outputs by
    themselves, or become several, keep their names; of an input there is a rounding.
    """
    inputs = {value.name for value in graph.entries}
    made = graph.renamed(host_names(graph))
    return made.rebuilt([node for old in made.nodes for node in _behind_rounding(old, inputs)])


def _behind_rounding(node: Node, inputs: Collection[str]) -> list[Node]:
    """An operator, that of a host on an input behind a rounding of that."""
    if node.op.kind is not Kind.HOST or node.inputs[0] not in inputs:
        return [node]
    name = node.output.removesuffix(f".{node.op.title}")
    return [Node(name, Clip(), node.inputs, name), replace(node, inputs=(name,))]


def _free(graph: Graph, name: str) -> str:
    """A name that no value has."""
    while name in graph.values:
        name += "#"
    return name
