"""What a host computes at a network's end, apart from what the machine does."""

from __future__ import annotations

from dataclasses import dataclass

from pulsarray.compiler.ir.formats import Affine8
from pulsarray.compiler.ir.graph import Graph, Node
from pulsarray.errors import InputError
from pulsarray.views import HostView

__all__ = ["Host", "machine_part", "split_host"]


@dataclass(frozen=True)
class Host:
    """What a host does with a network's result.

    Parameters
    ----------
    after
        Title of the operator that it applies to the real values; empty without.
    answer
        Codes to which it rounds what that makes; None where it does not round.
    input_view, output_view
        Shape and order in which it gives a sample and takes the result; None where they are those
        of the values.
    """

    after: str = ""
    answer: Affine8 | None = None
    input_view: HostView | None = None
    output_view: HostView | None = None


def machine_part(graph: Graph) -> Graph:
    """The network without the operators that a host computes."""
    return split_host(graph)[0]


def split_host(graph: Graph) -> tuple[Graph, Host]:
    """The network without the operators that a host computes, and what the host does.

    A host computes what has no definition in integers.

    Raises
    ------
    InputError
        If a host would have to compute something before the machine is done, or more than one
        operator.
    """
    hosted = [node for node in graph.nodes if not node.op.has_integers()]
    kept = [node for node in graph.nodes if node.op.has_integers()]
    views = graph.views.get(graph.input.name), graph.views.get(graph.output.name)
    if not hosted:
        return graph, Host("", None, *views)
    last = _only(graph, hosted)
    answer = graph.output.format
    host = Host(last.op.title, answer if isinstance(answer, Affine8) else None, *views)
    return graph.rebuilt(kept, outputs=last.inputs), host


def _only(graph: Graph, hosted: list[Node]) -> Node:
    """The one operator of a host, which is the network's last."""
    last = hosted[-1]
    if len(hosted) > 1 or last.output != graph.output.name or graph.readers[last.output]:
        first = hosted[0]
        raise InputError(f"{first.name}: {first.op.title} is only possible as the last operator")
    return last
