"""What a host computes at a network's ends, apart from what the machine does."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from pulsarray.compiler.ir.formats import Affine8
from pulsarray.compiler.ir.graph import Graph, Node
from pulsarray.errors import InputError
from pulsarray.views import HostView

__all__ = ["HostOutput", "machine_part", "split_host"]


@dataclass(frozen=True)
class HostOutput:
    """An output of a network, as a host makes it of a value of the machine.

    Parameters
    ----------
    name
        Its name.
    source
        The value of the machine.
    after
        Title of the operator that the host applies to the real values; empty without.
    answer
        Codes to which it rounds what that makes; None where it does not round.
    view
        Shape and order in which it takes the result; None where they are those of the value.
    """

    name: str
    source: str
    after: str = ""
    answer: Affine8 | None = None
    view: HostView | None = None


def machine_part(graph: Graph) -> Graph:
    """The network without the operators that a host computes."""
    return split_host(graph)[0]


def split_host(graph: Graph) -> tuple[Graph, tuple[HostOutput, ...]]:
    """The network without the operators that a host computes, and what the host makes of results.

    A host computes what has no definition in integers. What it makes of a value that is no output
    by itself, nor becomes another one, has the name of that value.

    Raises
    ------
    InputError
        If a host would have to compute something before the machine is done, or one thing after
        another.
    """
    hosted = {node.output: node for node in graph.nodes if not node.op.has_integers()}
    for node in hosted.values():
        _check_last(graph, node, hosted)
    sources = [hosted[name].inputs[0] if name in hosted else name for name in graph.outputs]
    counts = Counter(sources)
    made = tuple(
        _output(graph, name, source, hosted.get(name), alone=counts[source] == 1)
        for name, source in zip(graph.outputs, sources, strict=True)
    )
    if not hosted:
        return graph, made
    kept = [node for node in graph.nodes if node.output not in hosted]
    return graph.rebuilt(kept, outputs=tuple(counts)), made


def _check_last(graph: Graph, node: Node, hosted: dict[str, Node]) -> None:
    """Refuse an operator of the host whose result is read, or that reads that of another."""
    is_last = node.output in graph.outputs and not graph.readers[node.output]
    if not is_last or hosted.keys() & {*node.inputs}:
        raise InputError(f"{node.name}: {node.op.title} is only possible as the last operator")


def _output(graph: Graph, name: str, source: str, node: Node | None, *, alone: bool) -> HostOutput:
    view = graph.views.get(name)
    if node is None:
        return HostOutput(name, source, view=view)
    form = graph.values[name].format
    after = "" if node.op.is_identity else node.op.title
    answer = form if isinstance(form, Affine8) else None
    return HostOutput(source if alone else name, source, after, answer, view)
