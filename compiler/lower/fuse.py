"""Functions of codes that follow an operator: looked up as its codes are made, not read again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pulsarray.compiler.ir.graph import Graph, Node
from pulsarray.compiler.ops.integer.codes import HIGH, LOW, Ints, zero_of
from pulsarray.compiler.ops.integer.elementwise import Elementwise
from pulsarray.compiler.ops.integer.matmul import MatMul
from pulsarray.compiler.ops.integer.product import Convolution
from pulsarray.config import Config

__all__ = ["with_tables"]

_Scaled = MatMul | Elementwise | Convolution


def with_tables(graph: Graph, config: Config) -> Graph:
    """The network in which a function of codes that nothing else reads is its maker's table."""
    if not config.tables:
        return graph
    uses = graph.uses
    nodes: list[Node] = []
    made: dict[str, int] = {}
    for node in graph.nodes:
        place = made.get(node.inputs[0], -1)
        first = _scaled(nodes[place]) if place >= 0 and uses[node.inputs[0]] == 1 else None
        function = _function(graph, node)
        if first is None or function is None:
            made[node.output] = len(nodes)
            nodes.append(node)
        else:
            made[node.output] = place
            label = f"{nodes[place].kind}+{node.kind}"
            op = _with_table(first, function)
            nodes[place] = replace(nodes[place], op=op, output=node.output, label=label)
    return graph.rebuilt(nodes)


def _scaled(node: Node) -> _Scaled | None:
    """An operator whose last step can be a table; None of others."""
    op = node.op
    if not isinstance(op, MatMul | Elementwise | Convolution) or op.scale is None or op.scale.fine:
        return None
    return None if isinstance(op, Convolution) and op.residual else op


def _function(graph: Graph, node: Node) -> Ints | None:
    """Codes by code + 128 of an operator that is one function of them; None of others."""
    if not isinstance(node.op, Elementwise) or len(node.op.scale.multiplier) > 1:
        return None
    codes = np.arange(LOW, HIGH + 1)
    return node.op.scale.codes(codes - zero_of(graph.values[node.inputs[0]].format))


def _with_table(op: _Scaled, function: Ints) -> _Scaled:
    """An operator and then a function of its codes."""
    scale = op.scale
    assert scale is not None
    table = function if scale.table is None else function[scale.table - LOW]
    return replace(op, scale=replace(scale, table=table))
