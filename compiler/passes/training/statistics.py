"""Normalizations in their parts, which have exponents of their own."""

from __future__ import annotations

from dataclasses import replace
from functools import singledispatch

from pulsarray.compiler.ir.graph import Graph, Node
from pulsarray.compiler.ir.operator import Operator
from pulsarray.compiler.ir.value import Role
from pulsarray.compiler.ops.batch_norm import BatchStatisticsNorm
from pulsarray.compiler.ops.layer_norm import LayerNorm
from pulsarray.compiler.ops.statistics import (
    BatchMean,
    ChannelMean,
    Normalize,
    NormalizeChannels,
    ScaleShift,
)
from pulsarray.compiler.passes.training.activations import OUTPUT
from pulsarray.compiler.passes.training.maps import is_layer

__all__ = ["with_statistics"]


def with_statistics(graph: Graph) -> Graph:
    """Means, normalized values, and scales; biases before them do not learn."""
    parts = [_parts(node.op, node) for node in graph.nodes]
    read = {some[0].inputs[0] for some in parts if some[0].op.mixes_samples}
    layers = [node for node in graph.nodes if is_layer(node.op)]
    useful = {node.inputs[2] for node in layers if node.output not in read}
    useless = {node.inputs[2] for node in layers if node.output in read} - useful
    fixed = [replace(v, role=Role.CONSTANT) for v in graph.constants if v.name in useless]
    return graph.rebuilt([node for some in parts for node in some], more=fixed)


@singledispatch
def _parts(_op: Operator, node: Node) -> list[Node]:
    """What stands for an operator."""
    return [node]


@_parts.register
def _(op: BatchStatisticsNorm, node: Node) -> list[Node]:
    (x, scale, shift), name = node.inputs, node.name
    mean, normal = f"{name}.mean", f"{name}.normal"
    return [
        Node(mean, BatchMean(), (x,), mean),
        Node(normal, Normalize(op.epsilon), (x, mean), normal),
        Node(name, ScaleShift(), (normal, scale, shift), node.output),
    ]


@_parts.register
def _(op: LayerNorm, node: Node) -> list[Node]:
    """The normalized values are a step of their own: each may be read by others, too."""
    (x, scale, shift), name = node.inputs, node.name
    mean, normal = f"{name}.mean", f"{name}.normal"
    output = f"{normal}{OUTPUT}"
    return [
        Node(mean, ChannelMean(), (x,), mean),
        Node(normal, NormalizeChannels(op.epsilon), (x, mean), output),
        Node(name, ScaleShift(), (output, scale, shift), node.output),
    ]
