"""A network as text: one line a value or operator, stable enough to be compared."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import MISSING, Field, fields

import numpy as np

from pulsarray.compiler.ir.graph import Graph, Node
from pulsarray.compiler.ir.operator import Operator
from pulsarray.compiler.ir.value import Role, Value

__all__ = ["show"]

_MARKS = {Role.CONSTANT: "@", Role.PARAMETER: "@", Role.STATE: "&"}
_SHORT = 8
"""Elements of an attribute up to which it is written out."""


def show(graph: Graph) -> str:
    """A network as text.

    Values are ``%name``, constants and parameters ``@name``, state ``&name``; each with its shape
    and format. An operator's attributes follow it where they differ from what they usually are.
    """
    return "\n".join(_lines(graph)) + "\n"


def _lines(graph: Graph) -> Iterator[str]:
    yield f"graph {graph.name}"
    for value in graph.declared:
        if value.role is not Role.ACTIVATION:
            yield f"  {value.role.value} {_typed(value)}"
    for node in graph.nodes:
        yield f"  {_operation(graph, node)}"
    yield f"  output {', '.join(_name(graph.values[name]) for name in graph.outputs)}"


def _operation(graph: Graph, node: Node) -> str:
    inputs = ", ".join(_name(value) for value in graph.inputs_of(node))
    attributes = "".join(f" {text}" for text in _attributes(node.op))
    return f"{_typed(graph.values[node.output])} = {node.op.title}({inputs}){attributes}"


def _name(value: Value) -> str:
    return f"{_MARKS.get(value.role, '%')}{value.name}"


def _typed(value: Value) -> str:
    sizes = "x".join(map(str, value.shape)) or "scalar"
    return f"{_name(value)}: {sizes} {value.format}"


def _attributes(op: Operator) -> Iterator[str]:
    for attribute in fields(op):
        value = getattr(op, attribute.name)
        if attribute.repr and not _is_usual(attribute, value):
            yield f"{attribute.name}={_text(value)}"


def _is_usual(attribute: Field[object], value: object) -> bool:
    usual = attribute.default
    return usual is not MISSING and not isinstance(value, np.ndarray) and bool(value == usual)


def _text(value: object) -> str:
    if isinstance(value, Operator):
        return f"{value.title}({', '.join(_attributes(value))})"
    if isinstance(value, np.ndarray):
        return _text(tuple(value.tolist())) if value.size <= _SHORT else f"[{value.size} elements]"
    if isinstance(value, tuple):
        shown = value if len(value) <= _SHORT else (*value[: _SHORT - 1], "...")
        return f"({', '.join(map(_text, shown))})"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
