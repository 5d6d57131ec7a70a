"""Which operators of an ONNX file the compiler takes, as far as that shows without their values."""

from __future__ import annotations

from collections.abc import Collection

import onnx

from pulsarray.compiler.importers.onnx.names import kind_of, name_of
from pulsarray.compiler.importers.refusals import named_once
from pulsarray.errors import InputError

__all__ = ["constants_of", "lack", "refuse_unsupported"]

_LOOPS = ("Loop", "Scan")


def constants_of(
    graph: onnx.GraphProto, known: Collection[str], around: Collection[str] = ()
) -> set[str]:
    """Names of what an import computes without the input; ``known`` are the operators it has.

    ``around`` are the constants around a body.
    """
    constants = {tensor.name for tensor in graph.initializer} | {*around}
    for node in graph.node:
        read = {name for name in node.input if name}
        if kind_of(node) in known and (kind_of(node) == "Shape" or read <= constants):
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
    if kind == "If":
        return "If whose condition depends on the input (--set-input makes constants of inputs)"
    if kind in _LOOPS:
        return f"{kind}, whose steps are not known before it runs"
    if kind in folded:
        alone = set(node.output) <= set(constants)
        return "" if alone else f"{kind} of values that depend on the input"
    return kind


def refuse_unsupported(
    graph: onnx.GraphProto,
    taken: Collection[str],
    folded: Collection[str],
    known: Collection[str] = (),
    inside: str = "",
) -> None:
    """Refuse a graph with operators that are not supported, all in one message.

    What is in the body of one that is not supported is not told, nor what is in branches, of which
    a constant takes one. ``known`` are constants around a graph, ``inside`` says where it is.

    Raises
    ------
    InputError
        If there is one; the text has each kind once, with some of its nodes.
    """
    constants = {*known, *constants_of(graph, {*taken, *folded}, known)}
    reasons = [
        (reason, f"{inside}node {name_of(node, number)}")
        for number, node in enumerate(graph.node)
        if (reason := lack(node, constants, taken, folded))
    ]
    if reasons:
        raise InputError(f"unsupported operators: {named_once(reasons)}")
