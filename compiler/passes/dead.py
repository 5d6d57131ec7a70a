"""Operators that no output depends on are left out."""

from __future__ import annotations

from pulsarray.compiler.ir.graph import Graph, Node

__all__ = ["without_dead"]


def without_dead(graph: Graph) -> Graph:
    """The network without operators that its outputs do not depend on."""
    needed, kept = {*graph.outputs}, list[Node]()
    for node in reversed(graph.nodes):
        if node.output in needed:
            kept.append(node)
            needed.update(node.inputs)
    return graph.rebuilt(tuple(reversed(kept)))
