"""Networks without what only training needs."""

from __future__ import annotations

from pulsarray.compiler.ir.graph import Graph, Node
from pulsarray.compiler.passes.ends import ending_in

__all__ = ["without_dropout"]


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
    return graph.rebuilt(ending_in(kept, names, graph.outputs))
