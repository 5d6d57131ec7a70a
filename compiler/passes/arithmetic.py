"""Arithmetic on values of any rank becomes what int8 has: products with constants, sums, functions.

Means and sums are convolutions with equal weights; a value that repeats along an axis is made as
large as the other; factors and offsets that are constant are a normalization, which joins a
product; a difference is a sum with a product by -1.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import singledispatch
from math import prod

import numpy as np

from pulsarray.compiler.ir.draft import Draft
from pulsarray.compiler.ir.graph import Graph, Node
from pulsarray.compiler.ir.operator import Operator
from pulsarray.compiler.ir.value import Array, Shape, Value, constant
from pulsarray.compiler.ir.window import Window
from pulsarray.compiler.ops.add import Add
from pulsarray.compiler.ops.batch_norm import BatchNorm
from pulsarray.compiler.ops.convolution import Convolution
from pulsarray.compiler.ops.multiply import Multiply
from pulsarray.compiler.ops.pooling import AveragePool, MaxPool
from pulsarray.compiler.ops.reduction import ReduceMax, ReduceMean, ReduceSum
from pulsarray.compiler.ops.resize import Resize, nearest
from pulsarray.compiler.ops.square import Square
from pulsarray.compiler.ops.subtract import Subtract
from pulsarray.compiler.ops.transposed import TransposedConvolution

__all__ = ["with_products"]

_LARGEST_WINDOW = 1 << 10
"""Elements of a window of which the largest is sought in one go."""
_PART = 1 << 6
"""Elements side by side of which the largest is sought where they are too many."""
_FEW_CHANNELS = 16
"""Channels of which each becomes a row by itself, where the largest of them is sought."""


def with_products(graph: Graph) -> Graph:
    """A network of maps (H, W, C) with the same results."""
    draft = Draft.of(graph)
    for node in graph.nodes:
        _place(node.op, node, draft)
    return draft.graph(graph.outputs, graph.views)


@singledispatch
def _place(_op: Operator, node: Node, draft: Draft) -> None:
    """Put an operator behind those before it."""
    draft.emit(node)


@_place.register
def _(op: ReduceMean, node: Node, draft: Draft) -> None:
    """An average pooling, or a product that sums channels, too."""
    shape = draft.shape(node.inputs[0])
    kernel = _kernel(op.axes, shape)
    if -1 in op.axes:
        _sum_of_channels(draft, node, kernel, 1.0 / (prod(kernel) * shape[-1]))
    else:
        draft.emit(Node(node.name, AveragePool(Window(kernel, kernel)), node.inputs, node.output))


@_place.register
def _(op: ReduceMax, node: Node, draft: Draft) -> None:
    """Poolings; no unit compares channels, so parts of them become rows: of some, then of one."""
    source = node.inputs[0]
    kernel, channels = _kernel(op.axes, draft.shape(source)), draft.shape(source)[2]
    for size in (_FEW_CHANNELS, 1) if -1 in op.axes else ():
        if size >= channels:
            continue
        if kernel != (1, 1):
            source, kernel = _shorter(draft, node, source, kernel)
            source = _larger(draft, node, source, MaxPool(Window(kernel, kernel)), {})
        source, parts = _in_rows(draft, node, source, size)
        kernel = parts, 1
    source, kernel = _shorter(draft, node, source, kernel)
    draft.emit(Node(node.name, MaxPool(Window(kernel, kernel)), (source,), node.output))


@_place.register
def _(op: MaxPool, node: Node, draft: Draft) -> None:
    """The same; of all of a large map by parts."""
    kernel, source = op.window.kernel, node.inputs[0]
    if kernel == draft.shape(source)[:2] and not any(op.window.padding):
        source, kernel = _shorter(draft, node, source, kernel)
        op = MaxPool(Window(kernel, kernel))
    draft.emit(Node(node.name, op, (source,), node.output))


def _shorter(
    draft: Draft, node: Node, source: str, kernel: tuple[int, int]
) -> tuple[str, tuple[int, int]]:
    """A map of whose columns, then rows, only the largest of some are left, and what to pool then.

    Windows that cover an axis are as large as that, for any scratchpad too large at last.
    """
    while prod(kernel) > _LARGEST_WINDOW:
        axis = int(kernel[1] > 1)
        size = kernel[axis]
        part, gap = min(size, _PART), -size % min(size, _PART)
        if draft.shape(source)[axis] != size:
            break
        lines = (part, 1), (1, part)
        window = Window(lines[axis], lines[axis], ((0, 0, gap, 0), (0, 0, 0, gap))[axis])
        source = _larger(draft, node, source, MaxPool(window), {})
        left = -(-size // part)
        kernel = (kernel[0], left) if axis else (left, 1)
    return source, kernel


def _in_rows(draft: Draft, node: Node, source: str, size: int) -> tuple[str, int]:
    """Parts of so many channels as rows, how many; the last two have some channels in common."""
    channels = draft.shape(source)[2]
    starts = np.minimum(np.arange(0, channels, size), channels - size)
    weight = np.eye(channels)[:, starts[:, None] + np.arange(size)].transpose(1, 0, 2)[:, None]
    down = Window((len(starts), 1), (len(starts), 1))
    learned = {"weight": weight, "bias": np.zeros(size)}
    return _larger(draft, node, source, TransposedConvolution(down), learned), len(starts)


@_place.register
def _(op: ReduceSum, node: Node, draft: Draft) -> None:
    """A product with ones, of each channel by itself or of all."""
    shape = draft.shape(node.inputs[0])
    kernel, channels = _kernel(op.axes, shape), shape[-1]
    if -1 in op.axes:
        _sum_of_channels(draft, node, kernel, 1.0)
        return
    learned = {"weight": np.ones((*kernel, 1, channels)), "bias": np.zeros(channels)}
    op_of_all = Convolution(Window(kernel, kernel), channels)
    draft.add(node.name, op_of_all, node.inputs, node.output, learned)


def _kernel(axes: Sequence[int], shape: Shape) -> tuple[int, int]:
    """Rows and columns that become one."""
    return (shape[0] if -3 in axes else 1), (shape[1] if -2 in axes else 1)


def _sum_of_channels(draft: Draft, node: Node, kernel: tuple[int, int], factor: float) -> None:
    channels = draft.shape(node.inputs[0])[-1]
    learned = {"weight": np.full((*kernel, channels, 1), factor), "bias": np.zeros(1)}
    op = Convolution(Window(kernel, kernel))
    draft.add(node.name, op, node.inputs, node.output, learned)


@_place.register
def _(op: Add, node: Node, draft: Draft) -> None:
    first, second, row = _operands(draft, node)
    if row is not None:
        _affine(draft, node, first, np.ones(len(row)), row)
    else:
        draft.emit(Node(node.name, op, (first, second), node.output))


@_place.register
def _(_op: Subtract, node: Node, draft: Draft) -> None:
    """The sum with the second value times -1."""
    first, second = node.inputs
    negative = draft.fresh(f"{node.output} negative")
    value = draft.values[second]
    if value.role.is_constant:
        negative = draft.hold(constant(negative, -value.array))
    else:
        minus = -np.ones(value.shape[-1])
        change = Node(f"{node.name} negative", node.op, (second,), negative)
        _affine(draft, change, second, minus, np.zeros(len(minus)))
    total = Node(node.name, Add(), (first, negative), node.output)
    _place(total.op, total, draft)


@_place.register
def _(op: Multiply, node: Node, draft: Draft) -> None:
    first, second, row = _operands(draft, node)
    if row is not None:
        _affine(draft, node, first, row, np.zeros(len(row)))
    elif first == second:
        draft.emit(Node(node.name, Square(), (first,), node.output))
    else:
        draft.emit(Node(node.name, op, (first, second), node.output))


def _operands(draft: Draft, node: Node) -> tuple[str, str, Array | None]:
    """Both maps, as large as the result; of one the map, and the constant a channel or a map."""
    values = [draft.values[name] for name in node.inputs]
    shape = node.op.shape(*(value.shape for value in values))
    maps = [value for value in values if not value.role.is_constant]
    names = [_spread(draft, node, value, shape) for value in maps]
    if len(maps) == 2:
        return names[0], names[1], None
    (fixed,) = (value for value in values if value.role.is_constant)
    if prod(fixed.shape[:-1]) == 1:
        row = np.broadcast_to(fixed.array.reshape(-1), shape[-1:])
        return names[0], "", np.asarray(row)
    whole = np.array(np.broadcast_to(fixed.array, shape))
    return names[0], draft.hold(constant(draft.fresh(f"{node.name} constant"), whole)), None


def _affine(draft: Draft, node: Node, source: str, factor: Array, offset: Array) -> None:
    """A factor and an offset a channel: a normalization, which can join a product."""
    none, one = np.zeros(len(factor)), np.ones(len(factor))
    learned = {"scale": factor, "shift": offset, "mean": none, "variance": one}
    draft.add(node.name, BatchNorm(epsilon=0.0), (source,), node.output, learned)


def _spread(draft: Draft, node: Node, value: Value, shape: Shape) -> str:
    """A map that repeats along axes where it has size 1."""
    name = value.name
    if value.shape[2] != shape[2]:
        learned = {"weight": np.ones((1, 1, 1, shape[2])), "bias": np.zeros(shape[2])}
        name = _larger(draft, node, name, Convolution(Window((1, 1))), learned)
    if value.shape[:2] != shape[:2]:
        sizes = zip(value.shape[:2], shape[:2], strict=True)
        lines = (nearest(n, [0] * made if n == 1 else range(made)) for n, made in sizes)
        name = _larger(draft, node, name, Resize(*lines), {})
    return name


def _larger(draft: Draft, node: Node, source: str, op: Operator, learned: dict[str, Array]) -> str:
    """One step to another map."""
    output = draft.fresh(f"{source} for {node.name}")
    draft.add(output, op, (source,), output, learned)
    return output
