"""What a network needs at its ends before it can be brought to the machine."""

from __future__ import annotations

from pulsarray.compiler.ir.graph import Graph
from pulsarray.compiler.ir.operator import Kind
from pulsarray.compiler.passes.dead import without_dead
from pulsarray.errors import InputError

__all__ = ["host_function", "with_plain_ends"]


def with_plain_ends(graph: Graph) -> Graph:
    """The operators that the one output depends on, those of the host at the end alone.

    Raises
    ------
    InputError
        If there are several inputs or outputs, or an operator of the host is not the last.
    """
    _ = graph.input
    _ = graph.output
    graph = without_dead(graph)
    if not graph.nodes:
        raise InputError(f"{graph.name}: a network needs at least one operator")
    for node in graph.nodes[:-1]:
        if node.op.kind is Kind.HOST:
            name = node.op.title.capitalize()
            raise InputError(f"{node.name}: {name} is only possible as the last operator")
    return graph


def host_function(graph: Graph) -> str:
    """Title of the operator that a host applies to the result; empty if there is none."""
    op = graph.nodes[-1].op
    return op.title if op.kind is Kind.HOST else ""
