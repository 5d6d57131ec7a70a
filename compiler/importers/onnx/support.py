"""Which operators of an ONNX file the compiler takes, as far as that shows without their values."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import onnx

from pulsarray.compiler.importers.onnx.names import kind_of, name_of
from pulsarray.compiler.importers.refusals import named_once
from pulsarray.errors import InputError

__all__ = ["constants_of", "graphs_of", "lack", "refuse_unsupported"]


def constants_of(graph: onnx.GraphProto, known: Collection[str]) -> set[str]:
    """Names of what an import computes without the input; ``known`` are the operators it has."""
    constants = {tensor.name for tensor in graph.initializer}
    for node in graph.node:
        given = {name for name in node.input if name}
        if kind_of(node) in known and (kind_of(node) == "Shape" or given <= constants):
            constants.update(node.output)
    return constants


def lack(
    node: onnx.NodeProto,
    constants: Collection[str],
    taken: Collection[str],
    folded: Collection[str],
) -> str:
    """What is not supported of an operator; empty if it is.

    Parameters
    ----------
    node
        The operator.
    constants
        Names that are known without the input.
    taken, folded
        Operators on values, and on constants.
    """
    kind = kind_of(node)
    if kind in taken and (kind != "If" or node.input[0] in constants):
        return ""
    if kind in folded or kind == "If":
        alone = set(node.output) <= set(constants)
        return "" if alone else f"{kind} of values that depend on the input"
    return kind


def graphs_of(node: onnx.NodeProto) -> Iterator[tuple[str, onnx.GraphProto]]:
    """Bodies of a loop or a condition, by name."""
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            yield attribute.name, attribute.g


def refuse_unsupported(
    graph: onnx.GraphProto, taken: Collection[str], folded: Collection[str]
) -> None:
    """Refuse a file with operators that are not supported, all in one message.

    Raises
    ------
    InputError
        If there is one; the text has each kind once, with some of its nodes.
    """
    if found := list(_lacks(graph, taken, folded)):
        raise InputError(f"unsupported operators: {named_once(found)}")


def _lacks(
    graph: onnx.GraphProto, taken: Collection[str], folded: Collection[str], inside: str = ""
) -> Iterator[tuple[str, str]]:
    constants = constants_of(graph, {*taken, *folded})
    for number, node in enumerate(graph.node):
        place = f"{inside}node {name_of(node, number)}"
        if reason := lack(node, constants, taken, folded):
            yield reason, place
        for name, body in graphs_of(node):
            yield from _lacks(body, taken, folded, f"{place}, {name} ")
