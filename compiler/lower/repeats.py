"""Channels that are all the same: made once for the lanes of a word, and read again and again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pulsarray.compiler.ir.graph import Graph, Node
from pulsarray.compiler.ir.value import Value
from pulsarray.compiler.lower.traits import traits_of
from pulsarray.compiler.ops.integer.codes import HIGH, LOW, zero_of
from pulsarray.compiler.ops.integer.moving import Repeat
from pulsarray.compiler.ops.integer.product import Convolution

__all__ = ["with_repeats"]


def with_repeats(graph: Graph, dim: int) -> Graph:
    """The network whose products with equal columns, read where repeated, make one word a pixel.

    A product that only copies one channel into all is none: its input is made in all lanes.
    """
    alike = {n.output for n in graph.nodes if _is_alike(graph, n, dim)}
    copies = {n.output for n in graph.nodes if n.output in alike and _is_copy(graph, n)}
    made = {n.output: n for n in graph.nodes}
    wide = {
        made[name].inputs[0]
        for name in copies
        if _widens(graph, made.get(made[name].inputs[0]), copies)
    }
    nodes, more = list[Node](), list[Value]()
    for node in graph.nodes:
        if node.output not in wide | alike:
            nodes.append(node)
            continue
        if node.output in wide or node.inputs[0] not in wide:
            node_, values = _columns(graph, node, dim)
            nodes.append(node_)
            more += values
        if node.output in alike:
            source = _lanes(node.inputs[0] if node.inputs[0] in wide else node.output)
            count = graph.values[node.output].shape[2]
            nodes.append(Node(f"{node.name}.repeated", Repeat(count), (source,), node.output))
    return graph.rebuilt(nodes, more=more)


def _lanes(name: str) -> str:
    return f"{name}.lanes"


def _is_alike(graph: Graph, node: Node, dim: int) -> bool:
    """Whether more results than lanes are all the same, and whoever reads them can repeat one."""
    op = node.op
    if not isinstance(op, Convolution) or op.groups > 1 or op.residual or op.scale is None:
        return False
    weight, bias = (graph.values[name].array for name in node.inputs[1:3])
    scales = (op.scale.multiplier, op.scale.shift, op.scale.offset)
    same = all(part is None or (part == part.flat[0]).all() for part in (bias, *scales))
    users = [n for n in graph.nodes if node.output in n.inputs]
    repeat = bool(users) and all(traits_of(user.op).anywhere for user in users)
    inside = node.output not in graph.outputs
    return repeat and inside and same and weight.shape[3] > dim and _equal_columns(weight)


def _equal_columns(weight: np.ndarray) -> bool:
    return bool((weight == weight[..., :1]).all())


def _is_copy(graph: Graph, node: Node) -> bool:
    """Whether a product of one channel makes its codes again."""
    height, width, channels = graph.values[node.inputs[0]].shape
    if channels > 1 or graph.values[node.output].shape[:2] != (height, width):
        return False
    values = [graph.values[name] for name in node.inputs]
    codes = np.arange(LOW, HIGH + 1)
    op = node.op
    assert isinstance(op, Convolution)
    if op.window.kernel != (1, 1) or op.scale is None:
        return False
    sums = (codes - zero_of(values[0].format)) * int(values[1].array.flat[0])
    sums += int(values[2].array.flat[0])
    return bool((op.scale.codes(sums[:, None])[:, 0] == codes).all())


def _widens(graph: Graph, node: Node | None, copies: set[str]) -> bool:
    """Whether a product of one result, which is only copied into many, can make them itself."""
    if node is None or not isinstance(node.op, Convolution) or node.output in graph.outputs:
        return False
    plain = node.op.scale is not None and not node.op.residual and node.op.groups == 1
    users = {n.output for n in graph.nodes if node.output in n.inputs}
    return plain and users <= copies


def _columns(graph: Graph, node: Node, count: int) -> tuple[Node, list[Value]]:
    """A product with its first result so many times, and its constants."""
    op, (weight, bias) = node.op, (graph.values[name] for name in node.inputs[1:3])
    assert isinstance(op, Convolution)
    assert op.scale is not None
    scale = replace(op.scale, multiplier=op.scale.multiplier[:1], shift=op.scale.shift[:1])
    if op.scale.offset is not None:
        scale = replace(scale, offset=np.repeat(op.scale.offset[:1], count))
    result = replace(
        graph.values[node.output],
        name=_lanes(node.output),
        shape=(*graph.values[node.output].shape[:2], count),
    )
    values = [_repeated(value, count) for value in (weight, bias)]
    inputs = (node.inputs[0], *(value.name for value in values))
    made = replace(node, op=replace(op, scale=scale), inputs=inputs, output=result.name)
    return made, [*values, result]


def _repeated(value: Value, count: int) -> Value:
    """The first column of a constant so many times."""
    data = np.repeat(value.array[..., :1], count, axis=-1)
    return replace(value, name=_lanes(value.name), shape=data.shape, data=data)
