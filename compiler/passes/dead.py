"""Operators that no output depends on are left out."""

from __future__ import annotations

from pulsarray.compiler.ir.graph import Graph, needed

__all__ = ["without_dead"]


def without_dead(graph: Graph) -> Graph:
    """The network without operators that its outputs do not depend on."""
    return graph.rebuilt(needed(graph.nodes, graph.outputs))
