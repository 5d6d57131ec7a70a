"""Zeros around maps become the padding of what reads them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import singledispatch

from pulsarray.compiler.ir.graph import Graph, Node, needed
from pulsarray.compiler.ir.operator import Operator
from pulsarray.compiler.ir.window import Window
from pulsarray.compiler.ops.convolution import Convolution
from pulsarray.compiler.ops.pad import Pad
from pulsarray.compiler.ops.pooling import AveragePool

__all__ = ["with_padded_windows"]

Sides = tuple[int, int, int, int]


def with_padded_windows(graph: Graph) -> Graph:
    """The network without padding where what reads it can pad by itself."""
    pads: dict[str, tuple[str, Sides]] = {}
    nodes: list[Node] = []
    for node in graph.nodes:
        padded = _padded_node(node, pads)
        if (sides := _zeros(padded.op)) is not None:
            pads[padded.output] = padded.inputs[0], sides
        nodes.append(padded)
    return graph.rebuilt(needed(nodes, graph.outputs))


def _padded_node(node: Node, pads: Mapping[str, tuple[str, Sides]]) -> Node:
    """An operator that reads what is inside of zeros, if it can pad."""
    source, *constants = node.inputs
    if source not in pads:
        return node
    inside, sides = pads[source]
    made = _padded(node.op, sides)
    return node if made is None else Node(node.name, made, (inside, *constants), node.output)


@singledispatch
def _zeros(_op: Operator) -> Sides | None:
    """Rows and columns of zeros that an operator puts around a map; None if it does not."""
    return None


@_zeros.register
def _(op: Pad) -> Sides:
    return op.padding


@singledispatch
def _padded(_op: Operator, _sides: Sides) -> Operator | None:
    """An operator that sees zeros around its input by itself; None if it cannot."""
    return None


@_padded.register
def _(op: Pad, sides: Sides) -> Operator:
    return Pad(_sum(sides, op.padding))


@_padded.register
def _(op: Convolution, sides: Sides) -> Operator:
    return replace(op, window=_around(op.window, sides))


@_padded.register
def _(op: AveragePool, sides: Sides) -> Operator | None:
    """Where its own padding counts, or it has none, and no window lies in padding alone."""
    window = _around(op.window, sides)
    zeros = op.include_padding or not any(op.window.padding)
    return AveragePool(window, include_padding=True) if zeros and _sees_input(window) else None


def _sum(first: Sides, second: Sides) -> Sides:
    top, left, bottom, right = (a + b for a, b in zip(first, second, strict=True))
    return top, left, bottom, right


def _around(window: Window, sides: Sides) -> Window:
    return replace(window, padding=_sum(window.padding, sides))


def _sees_input(window: Window) -> bool:
    return all(window.padding[side] < window.extent(side % 2) for side in range(4))
