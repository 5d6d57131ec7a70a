"""Networks whose values are all feature maps (H, W, C): vectors of K numbers are maps (1, 1, K)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import singledispatch
from math import gcd, prod

import numpy as np

from pulsarray.compiler.ir.draft import Draft
from pulsarray.compiler.ir.graph import Graph, Node
from pulsarray.compiler.ir.operator import Operator
from pulsarray.compiler.ir.value import Array, Shape, Value, constant
from pulsarray.compiler.ir.window import Window
from pulsarray.compiler.ops.binary import Binary
from pulsarray.compiler.ops.concat import Concat
from pulsarray.compiler.ops.convolution import Convolution
from pulsarray.compiler.ops.dense import Dense
from pulsarray.compiler.ops.flatten import Flatten, Unflatten
from pulsarray.compiler.ops.layout import Reshape, Transpose
from pulsarray.compiler.ops.matmul import MatMul
from pulsarray.compiler.ops.reduction import ReduceMax, ReduceMean, ReduceSum
from pulsarray.compiler.ops.transposed import TransposedConvolution
from pulsarray.compiler.passes.ends import ending_in
from pulsarray.compiler.passes.regroup import check_channels, regrouped
from pulsarray.errors import InputError
from pulsarray.views import HostView

__all__ = ["LARGEST_REORDER", "with_maps"]

LARGEST_REORDER = 1 << 12
"""Elements of a map that may become one pixel other than in a dense layer, which is free."""


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
        entries = (_entry(value, graph) for value in graph.entries)
        super().__init__(graph.name, [*entries, *constants], graph.values)
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

    def alike(self, node: Node, sources: Mapping[str, str]) -> dict[str, str]:
        """Vectors that an operator reads as maps of one shape, where they are of several."""
        vectors = [n for n in dict.fromkeys(node.inputs) if prod(self.before.values[n].shape) > 1]
        shapes = [self.shape(sources[name]) for name in vectors if name in sources]
        if len(vectors) < 2 or all(shape[:2] == (1, 1) for shape in shapes):
            return {}
        return {name: self._reshaped(node, name, max(shapes)) for name in vectors}

    def _reshaped(self, node: Node, name: str, shape: Shape) -> str:
        """A vector, or a constant one, as a map."""
        output = f"{name} for {node.name}"
        value = self.before.values[name]
        if value.role.is_constant:
            return self.hold(constant(output, value.array.reshape(shape)))
        _shaped(node, self, self.map_of(name), shape, output)
        return self.map_of(output)

    def whole(self, name: str, source: str, output: str, weight: Array, bias: Array) -> None:
        """A dense layer as a convolution whose kernel is its whole input."""
        shape = self.shape(source)
        op = Convolution(Window((shape[0], shape[1])))
        learned = {"weight": weight.reshape(*shape, -1), "bias": bias}
        self.add(name, op, (source,), output, learned)


def _entry(value: Value, graph: Graph) -> Value:
    """An input or state as a map: a long vector with the most channels that it gets later on."""
    shape, size = _as_map(value.shape), prod(value.shape)
    if len(value.shape) == 1 and size > LARGEST_REORDER and value.name not in graph.states:
        later = [
            node.op.sizes[-1]
            for node in graph.nodes
            if isinstance(node.op, Reshape)
            and graph.values[node.inputs[0]].shape == value.shape
            and len(node.op.sizes) > 1
        ]
        channels = max(later, default=size)
        shape = 1, size // channels, channels
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
    by_element = op.is_elementwise or isinstance(op, Binary)
    change = draft.pixel if is_vector and not by_element else draft.map_of
    sources = {name: change(name) for name in draft.before.sources_of(node)}
    if is_vector:
        sources |= draft.alike(node, sources)
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


def _reduce(node: Node, draft: _Maps, op: ReduceMax | ReduceMean | ReduceSum) -> None:
    """Axes stay, with size 1, if the map of what is left without them has them, too."""
    source = draft.map_of(node.inputs[0])
    if len(draft.before.values[node.inputs[0]].shape) == 1:
        op = type(op)((-3, -2, -1))
    shape, wanted = op.shape(draft.shape(source)), draft.before.values[node.output].shape
    if shape != _as_map(wanted):
        raise InputError(
            f"{node.name}: {op.title} to shape {wanted} is not possible in int8; keep its axes"
        )
    draft.emit(Node(node.name, op, (source,), node.output))


@_place.register
def _(op: Concat, node: Node, draft: _Maps) -> None:
    """Vectors too long for a pixel as pixels side by side: as many channels as divide all."""
    names, shape = [draft.map_of(n) for n in node.inputs], draft.before.values[node.output].shape
    shapes = [draft.shape(name) for name in names]
    pixels = all(made[:2] == (1, 1) for made in shapes)
    if len(shape) > 1 or prod(shape) <= LARGEST_REORDER or (pixels and len({*shapes}) > 1):
        _place.dispatch(Operator)(op, node, draft)
        return
    channels = gcd(*(made[2] for made in shapes))
    parts = []
    for place, name in enumerate(names):
        output = draft.fresh(f"{node.name} part {place}")
        _shaped(node, draft, name, (1, prod(draft.shape(name)) // channels, channels), output)
        parts.append(draft.map_of(output))
    draft.emit(Node(node.name, Concat(-2), tuple(parts), node.output))


@_place.register
def _(op: MatMul, node: Node, draft: _Maps) -> None:
    """A product with a constant matrix is a convolution of single pixels."""
    first, second = (draft.before.values[name] for name in node.inputs)
    several = second.role.is_constant and prod(second.shape[:-2]) != 1
    if first.role.is_constant or several:
        raise InputError(
            f"{node.name}: matmul is possible in int8 if its first matrix depends on the input, "
            "and a constant second one is the same for all"
        )
    sources = [draft.map_of(name) for name in node.inputs]
    if op.transpose_a:
        inner = draft.fresh(f"{node.output} first turned")
        _turned(node, draft, sources[0], inner)
        op, sources = MatMul(transpose_b=op.transpose_b), [inner, sources[1]]
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
    check_channels((node.name, node.op.title), channels)
    whole = np.broadcast_to(np.eye(channels), (height, channels, channels)).copy()
    identity = draft.hold(constant(f"{output} identity", whole))
    draft.emit(Node(output, MatMul(transpose_b=True), (identity, source), output))


def _shaped(node: Node, draft: _Maps, source: str, sizes: Shape, output: str) -> None:
    """The same elements in another shape."""
    made = source
    if draft.shape(source) != sizes:
        name = f"{node.name} {output}"
        made = regrouped(draft, (name, node.op.title), source, sizes, output)
    if made != output:
        draft.names[output] = made


@_place.register
def _(op: Reshape, node: Node, draft: _Maps) -> None:
    """Pixels in other rows; of other channels by products with 0 and 1 that split and join them."""
    source = draft.map_of(node.inputs[0])
    made = source
    if len(op.sizes) > 1:
        where = (node.name, op.title)
        made = regrouped(draft, where, source, _as_map(op.sizes), node.output)
    if made != node.output:
        draft.names[node.output] = made


@_place.register
def _(_op: Flatten, node: Node, draft: _Maps) -> None:
    draft.names[node.output] = draft.map_of(node.inputs[0])


@_place.register
def _(_op: Dense, node: Node, draft: _Maps) -> None:
    weight, bias = draft.before.arrays_of(node)
    draft.whole(node.name, draft.map_of(node.inputs[0]), node.output, weight, bias)


@_place.register
def _(op: Unflatten, node: Node, draft: _Maps) -> None:
    """A product with 0 and 1 for each pixel; nothing where a map has its elements in that order."""
    height, width, channels = op.sizes
    size, source = len(op.order), draft.map_of(node.inputs[0])
    if draft.shape(source)[:2] != (1, 1) and [*op.order] == [*range(size)]:
        _shaped(node, draft, source, op.sizes, node.output)
        return
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
