"""What a network needs at its ends before it can be brought to the machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pulsarray.compiler.ir.graph import Graph, Node, free_name
from pulsarray.compiler.ir.operator import Kind
from pulsarray.compiler.ir.value import Role
from pulsarray.compiler.ops.identity import Identity
from pulsarray.compiler.passes.dead import without_dead
from pulsarray.errors import InputError

__all__ = ["ending_in", "host_function", "with_one_end", "with_plain_ends"]


def with_plain_ends(graph: Graph) -> Graph:
    """The operators that the outputs depend on.

    Raises
    ------
    InputError
        If an output is no operator's.
    """
    graph = without_dead(graph)
    if not graph.nodes:
        raise InputError(f"{graph.name}: a network needs at least one operator")
    for name in graph.outputs:
        if graph.values[name].role is not Role.ACTIVATION:
            raise _nothing(name)
    for node in graph.nodes:
        if node.op.kind is Kind.HOST and not node.op.is_composite():
            _check_last(graph, node)
    return graph


def _check_last(graph: Graph, node: Node) -> None:
    """Refuse an operator of the host that has others behind it."""
    name = node.op.title.capitalize()
    if graph.readers[node.output]:
        raise InputError(f"{node.name}: {name} is only possible as the last operator")
    if node.output in graph.states.values():
        raise InputError(
            f"{node.name}: {name} is computed by the host, so its result cannot be kept as state"
        )


def with_one_end(graph: Graph) -> Graph:
    """The operators that the one output depends on.

    Raises
    ------
    InputError
        If there are several outputs, or state.
    """
    if graph.states:
        name = next(iter(graph.states))
        raise InputError(f"{graph.name}: state {name!r}: training needs all runs in one network")
    _ = graph.output
    return with_plain_ends(graph)


def host_function(graph: Graph) -> str:
    """Title of the operator that a host applies to the only result; empty if there is none."""
    name = graph.output.name
    ops = (node.op for node in graph.nodes if node.output == name)
    return next((op.title for op in ops if op.kind is Kind.HOST), "")


def ending_in(
    nodes: Sequence[Node], names: Mapping[str, str], outputs: Sequence[str]
) -> list[Node]:
    """The operators with the network's results under their own names, whatever wrote them before.

    Parameters
    ----------
    nodes
        What is left of them.
    names
        The value that one is, which some operator writes, where its name is another.
    outputs
        The results; of those that are one value all but the first are its identity. Other values
        of their names get others.

    Raises
    ------
    InputError
        If no operator writes one.
    """
    written = {node.output for node in nodes}
    ends = {output: names.get(output, output) for output in outputs}
    renamed: dict[str, str] = {}
    for output, source in ends.items():
        if source not in written:
            raise _nothing(output)
        if ends.get(source) != source:
            renamed.setdefault(source, output)
    copies = [(name, renamed.get(source, source)) for name, source in ends.items()]
    for name in written.intersection(outputs) - renamed.keys():
        if ends[name] != name:
            renamed[name] = free_name(name, {*written, *outputs, *renamed.values()})
    return [
        *(node.renamed(renamed) for node in nodes),
        *(Node(name, Identity(), (end,), name) for name, end in copies if name != end),
    ]


def _nothing(output: str) -> InputError:
    return InputError(f"{output}: the network's result is its input; there is nothing to compute")
