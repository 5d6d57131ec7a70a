"""Normalization becomes part of the product before it, else a product of its own."""

from __future__ import annotations

from functools import singledispatch

import numpy as np

from pulsarray.compiler.ir.draft import Draft
from pulsarray.compiler.ir.graph import Graph, Node
from pulsarray.compiler.ir.operator import Operator
from pulsarray.compiler.ir.value import Array
from pulsarray.compiler.ir.window import Window
from pulsarray.compiler.ops.batch_norm import BatchNorm
from pulsarray.compiler.ops.convolution import Convolution
from pulsarray.compiler.ops.pad import Pad
from pulsarray.compiler.ops.transposed import TransposedConvolution

__all__ = ["without_norms"]


def without_norms(graph: Graph) -> Graph:
    """The network without normalization and padding."""
    draft = Draft.of(graph)
    for node in graph.nodes:
        _place(node.op, node, draft, graph)
    return draft.graph(graph.outputs, graph.views)


@singledispatch
def _place(_op: Operator, node: Node, draft: Draft, _graph: Graph) -> None:
    """Put an operator behind those before it."""
    draft.emit(node)


@_place.register
def _(op: BatchNorm, node: Node, draft: Draft, graph: Graph) -> None:
    factor, offset = op.affine(*graph.arrays_of(node))
    alone = graph.uses[node.inputs[0]] == 1
    if not (alone and _joins(draft, node, factor, offset)):
        _depthwise(draft, node, factor, offset, Window((1, 1)))


@_place.register
def _(op: Pad, node: Node, draft: Draft, graph: Graph) -> None:
    channels = graph.values[node.inputs[0]].shape[2]
    window = Window((1, 1), padding=op.padding)
    _depthwise(draft, node, np.ones(channels), np.zeros(channels), window)


def _joins(draft: Draft, node: Node, factor: Array, offset: Array) -> bool:
    """Put factors and offsets into the product that writes the input; whether there is one."""
    place = next((k for k, n in enumerate(draft.nodes) if n.output == node.inputs[0]), None)
    if place is None:
        return False
    before = draft.nodes[place]
    arrays = [value.array for value in draft.inputs_of(before) if value.role.is_constant]
    scaled = _scaled(before.op, factor, *arrays)
    if scaled is None:
        return False
    draft.remove(place)
    learned = {"weight": scaled, "bias": arrays[-1] * factor + offset}
    draft.add(before.name, before.op, before.inputs[:1], node.output, learned)
    return True


@singledispatch
def _scaled(_op: Operator, _factor: Array, *_constants: Array) -> Array | None:
    """Weights of a product whose results get a factor each; None for what is no product."""
    return None


@_scaled.register
def _(_op: Convolution, factor: Array, weight: Array, _bias: Array) -> Array:
    return weight * factor


@_scaled.register
def _(op: TransposedConvolution, factor: Array, weight: Array, _bias: Array) -> Array:
    kernel, groups = weight.shape[:2], op.groups
    split = weight.reshape(*kernel, groups, -1, weight.shape[3])
    return (split * factor.reshape(groups, 1, -1)).reshape(weight.shape)


def _depthwise(draft: Draft, node: Node, factor: Array, offset: Array, window: Window) -> None:
    """A product of its own, each channel by itself."""
    learned = {"weight": factor.reshape(1, 1, 1, -1), "bias": offset}
    op = Convolution(window, len(factor))
    draft.add(node.name, op, node.inputs[:1], node.output, learned)
