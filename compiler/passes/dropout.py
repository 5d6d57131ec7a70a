"""Networks without what only training needs."""

from __future__ import annotations

from collections.abc import Mapping

from pulsarray.compiler.ir.graph import Graph, Node
from pulsarray.errors import InputError

__all__ = ["ending_in", "without_dropout"]


def without_dropout(graph: Graph) -> Graph:
    """The network without operators that are the identity but in training.

    Raises
    ------
    InputError
        If nothing is left.
    """
    names: dict[str, str] = {}
    kept: list[Node] = []
    for node in graph.nodes:
        made = node.renamed(names)
        if made.op.only_trains:
            names[made.output] = made.inputs[0]
        else:
            kept.append(made)
    return graph.rebuilt(ending_in(kept, names, graph.output.name))


def ending_in(nodes: list[Node], names: Mapping[str, str], output: str) -> list[Node]:
    """The operators with the network's result under its own name, whatever became of its last.

    Raises
    ------
    InputError
        If no operator writes it.
    """
    last = names.get(output, output)
    if last not in {node.output for node in nodes}:
        raise InputError(
            f"{output}: the network's result is its input; there is nothing to compute"
        )
    return [node.renamed({last: output}) for node in nodes]
