"""Networks whose values are all feature maps (H, W, C): vectors of K numbers are maps (1, 1, K)."""

from __future__ import annotations

from dataclasses import replace
from functools import singledispatch
from math import gcd, prod

import numpy as np

from pulsarray.compiler.ir.draft import Draft
from pulsarray.compiler.ir.graph import Graph, Node
from pulsarray.compiler.ir.operator import Operator
from pulsarray.compiler.ir.value import Array, Shape, Value, constant
from pulsarray.compiler.ir.window import Window
from pulsarray.compiler.ops.convolution import Convolution
from pulsarray.compiler.ops.dense import Dense
from pulsarray.compiler.ops.flatten import Flatten, Unflatten
from pulsarray.compiler.ops.layout import Reshape, Transpose
from pulsarray.compiler.ops.matmul import MatMul
from pulsarray.compiler.ops.reduction import ReduceMax, ReduceMean, ReduceSum
from pulsarray.compiler.ops.transposed import TransposedConvolution
from pulsarray.compiler.passes.ends import ending_in
from pulsarray.errors import InputError
from pulsarray.views import HostView

__all__ = ["LARGEST_REORDER", "with_maps"]

LARGEST_REORDER = 1 << 12
"""Elements of a map that may become one pixel other than in a dense layer, which is free."""
_LARGEST_IDENTITY = 1 << 13
"""Channels of a pixel at most that are split or joined: by a product with the identity."""


def with_maps(graph: Graph) -> Graph:
    """The network without ``Flatten``, ``Unflatten`` and ``Dense``, whose values are all maps.

    Raises
    ------
    InputError
        If a flattened map is used in a way that would need it in another order in memory, or a
        value is no feature map.
    """
    draft = _Maps(graph)
    for node in graph.nodes:
        _place(node.op, node, draft)
    for state, after in graph.states.items():
        if draft.shape(draft.map_of(after)) != draft.shape(state):
            draft.names[after] = draft.pixel(after)
    nodes = ending_in(draft.nodes, draft.names, graph.outputs)
    ends = (*graph.entries, *(graph.values[name] for name in graph.outputs))
    views = {value.name: _view(value, draft) for value in ends}
    known = {name: view for name, view in views.items() if view is not None}
    return draft.graph(graph.outputs, known, nodes)


def _view(value: Value, draft: _Maps) -> HostView | None:
    """A host's view of a value that becomes a map; none where it has that, or its one pixel."""
    shape = draft.shape(draft.map_of(value.name))
    usual = shape[2:] if shape[:2] == (1, 1) else shape
    return draft.before.views.get(
        value.name, None if usual == value.shape else HostView.plain(value.shape)
    )


class _Maps(Draft):
    """The network while it is made: ``names`` has the map of each value that is one already."""

    def __init__(self, graph: Graph) -> None:
        constants = (v for v in graph.declared if v.role.is_constant)
        super().__init__(graph.name, [*map(_entry, graph.entries), *constants], graph.values)
        self.states = graph.states
        self.before = graph
        self.names: dict[str, str] = {}

    def map_of(self, value: str) -> str:
        """The map that stands for a value."""
        return self.names.get(value, value)

    def pixel(self, value: str) -> str:
        """The map of a vector as one pixel, which costs a product with the identity matrix."""
        known = self.map_of(value)
        shape = self.shape(known)
        if len(self.before.values[value].shape) != 1 or shape[:2] == (1, 1):
            return known
        if prod(shape) > LARGEST_REORDER:
            raise InputError(
                f"{value}: a flattened map of {prod(shape)} elements can only be read densely"
            )
        output = f"{value} as a pixel"
        if output not in self.values:
            self.whole(output, known, output, np.eye(prod(shape)), np.zeros(prod(shape)))
        return output

    def whole(self, name: str, source: str, output: str, weight: Array, bias: Array) -> None:
        """A dense layer as a convolution whose kernel is its whole input."""
        shape = self.shape(source)
        op = Convolution(Window((shape[0], shape[1])))
        learned = {"weight": weight.reshape(*shape, -1), "bias": bias}
        self.add(name, op, (source,), output, learned)


def _entry(value: Value) -> Value:
    """An input or state as a map."""
    shape = _as_map(value.shape)
    return replace(
        value, shape=shape, data=None if value.data is None else value.data.reshape(shape)
    )


def _as_map(shape: Shape) -> Shape:
    """Shape of the map that stands for a value."""
    padded = (1, 1, 1, *shape)[-3:] if len(shape) < 3 else shape
    if len(padded) != 3:
        raise InputError(f"a value of shape {shape} is not a feature map (H, W, C)")
    return padded


@singledispatch
def _place(op: Operator, node: Node, draft: _Maps) -> None:
    """Put an operator behind those before it."""
    is_vector = len(draft.before.values[node.output].shape) == 1
    change = draft.pixel if is_vector and not op.is_elementwise else draft.map_of
    sources = {name: change(name) for name in draft.before.sources_of(node)}
    draft.emit(Node(node.name, op, tuple(sources.get(n, n) for n in node.inputs), node.output))


@_place.register
def _(op: ReduceMax, node: Node, draft: _Maps) -> None:
    _reduce(node, draft, ReduceMax(op.axes))


@_place.register
def _(op: ReduceMean, node: Node, draft: _Maps) -> None:
    _reduce(node, draft, ReduceMean(op.axes))


@_place.register
def _(op: ReduceSum, node: Node, draft: _Maps) -> None:
    _reduce(node, draft, ReduceSum(op.axes))


def _reduce(node: Node, draft: _Maps, op: Operator) -> None:
    """Axes stay, with size 1, if the map of what is left without them has them, too."""
    source = draft.pixel(node.inputs[0])
    shape, wanted = op.shape(draft.shape(source)), draft.before.values[node.output].shape
    if shape != _as_map(wanted):
        raise InputError(
            f"{node.name}: {op.title} to shape {wanted} is not possible in int8; keep its axes"
        )
    draft.emit(Node(node.name, op, (source,), node.output))


@_place.register
def _(op: MatMul, node: Node, draft: _Maps) -> None:
    """A product with a constant matrix is a convolution of single pixels."""
    first, second = (draft.before.values[name] for name in node.inputs)
    several = second.role.is_constant and prod(second.shape[:-2]) != 1
    if first.role.is_constant or op.transpose_a or several:
        raise InputError(
            f"{node.name}: matmul is possible in int8 if its first matrix depends on the input and "
            "is not transposed, and a constant second one is the same for all"
        )
    sources = [draft.map_of(name) for name in node.inputs]
    if not second.role.is_constant:
        draft.emit(Node(node.name, op, tuple(sources), node.output))
        return
    matrix = second.array.reshape(second.shape[-2:])
    weight = (matrix.T if op.transpose_b else matrix)[None, None]
    learned = {"weight": weight, "bias": np.zeros(weight.shape[3])}
    draft.add(node.name, Convolution(Window((1, 1))), (sources[0],), node.output, learned)


@_place.register
def _(op: Transpose, node: Node, draft: _Maps) -> None:
    """Blocks of axes that change places: once in each row, or of all elements as a matrix."""
    source, rank = draft.map_of(node.inputs[0]), len(op.order)
    if rank > 3:
        raise InputError(f"{node.name}: transpose of {rank} axes is not possible in int8")
    order = [*range(3 - rank), *(axis + 3 - rank for axis in op.order)]
    shape = draft.shape(source)
    wide = [axis for axis in order if shape[axis] > 1]
    if wide in ([1, 0, 2], [2, 1, 0]):  # Columns and channels first.
        inner = draft.fresh(f"{node.output} turned")
        _turned(node, draft, source, inner)
        source, order = inner, [{0: 0, 1: 2, 2: 1}[axis] for axis in order]
        shape = draft.shape(source)
        wide = [axis for axis in order if shape[axis] > 1]
    made = tuple(shape[axis] for axis in order)
    if wide == sorted(wide):
        _shaped(node, draft, source, made, node.output)
        return
    if wide == [0, 2, 1]:
        _turned(node, draft, source, node.output)
        return
    cut = wide.index(min(wide))  # What comes first was behind all of the rest.
    columns = prod(shape[axis] for axis in wide[:cut])
    matrix = draft.fresh(f"{node.output} matrix")
    _shaped(node, draft, source, (1, prod(shape) // columns, columns), matrix)
    inner = draft.fresh(f"{node.output} turned")
    _turned(node, draft, draft.map_of(matrix), inner)
    _shaped(node, draft, inner, made, node.output)


def _turned(node: Node, draft: _Maps, source: str, output: str) -> None:
    """Columns as channels in each row: the product of the identity and that, transposed."""
    height, _, channels = draft.shape(source)
    _check_channels(node, channels)
    whole = np.broadcast_to(np.eye(channels), (height, channels, channels)).copy()
    identity = draft.hold(constant(f"{output} identity", whole))
    draft.emit(Node(output, MatMul(transpose_b=True), (identity, source), output))


def _shaped(node: Node, draft: _Maps, source: str, sizes: Shape, output: str) -> None:
    """The same elements in another shape."""
    if draft.shape(source) == sizes:
        draft.names[output] = source
        return
    op = Reshape(sizes)
    _place(op, Node(f"{node.name} {output}", op, (source,), output), draft)


@_place.register
def _(op: Reshape, node: Node, draft: _Maps) -> None:
    """Pixels in other rows; of other channels by products with 0 and 1 that split and join them."""
    source = draft.map_of(node.inputs[0])
    if len(op.sizes) == 1:
        draft.names[node.output] = source
        return
    wanted, channels = _as_map(op.sizes), draft.shape(source)[2]
    common = gcd(channels, wanted[2])
    source = _split(node, draft, source, channels // common)
    source = _joined(node, draft, source, wanted[2] // common)
    if draft.shape(source) != wanted or source == draft.map_of(node.inputs[0]):
        draft.emit(Node(node.name, Reshape(wanted), (source,), node.output))
    else:
        draft.names[node.output] = source


def _split(node: Node, draft: _Maps, source: str, parts: int) -> str:
    """Each pixel's channels as so many pixels beside each other."""
    if parts == 1:
        return source
    channels = draft.shape(source)[2]
    _check_channels(node, channels)
    weight = np.eye(channels).reshape(channels, parts, -1).transpose(1, 0, 2)[None]
    op = TransposedConvolution(Window((1, parts), (1, parts)))
    learned = {"weight": weight, "bias": np.zeros(channels // parts)}
    output = draft.fresh(f"{node.output} split")
    return draft.add(output, op, (source,), output, learned).name


def _check_channels(node: Node, channels: int) -> None:
    """Refuse a product with an enormous identity."""
    if channels > _LARGEST_IDENTITY:
        raise InputError(
            f"{node.name}: {node.op.title} to or from pixels of {channels} channels is not "
            f"possible in int8, only of up to {_LARGEST_IDENTITY}"
        )


def _joined(node: Node, draft: _Maps, source: str, parts: int) -> str:
    """So many pixels beside each other as the channels of one."""
    if parts == 1:
        return source
    height, width, channels = draft.shape(source)
    _check_channels(node, parts * channels)
    if width % parts:
        row = draft.fresh(f"{node.output} in a row")
        draft.emit(Node(row, Reshape((1, height * width, channels)), (source,), row))
        source = row
    weight = np.eye(parts * channels).reshape(1, parts, channels, -1)
    op = Convolution(Window((1, parts), (1, parts)))
    learned = {"weight": weight, "bias": np.zeros(parts * channels)}
    output = draft.fresh(f"{node.output} joined")
    return draft.add(output, op, (source,), output, learned).name


@_place.register
def _(_op: Flatten, node: Node, draft: _Maps) -> None:
    draft.names[node.output] = draft.map_of(node.inputs[0])


@_place.register
def _(_op: Dense, node: Node, draft: _Maps) -> None:
    weight, bias = draft.before.arrays_of(node)
    draft.whole(node.name, draft.map_of(node.inputs[0]), node.output, weight, bias)


@_place.register
def _(op: Unflatten, node: Node, draft: _Maps) -> None:
    """A product with 0 and 1 for each pixel."""
    height, width, channels = op.sizes
    size = len(op.order)
    if size > LARGEST_REORDER:
        raise InputError(
            f"{node.name}: a vector of {size} elements cannot become a map, only up to "
            f"{LARGEST_REORDER}"
        )
    weight = np.zeros((height, width, size, channels))
    rows, columns, lanes = np.unravel_index(np.arange(size), op.sizes)
    weight[rows, columns, list(op.order), lanes] = 1.0
    made = TransposedConvolution(Window((height, width), (height, width)))
    learned = {"weight": weight, "bias": np.zeros(channels)}
    draft.add(node.name, made, (draft.pixel(node.inputs[0]),), node.output, learned)
