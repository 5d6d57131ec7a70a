"""Graphs in floating point: every operator's definition, on whole batches of (H, W, C) samples."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from pulsarray.compiler.graph import Activate, Dense, Flatten, Graph, Node, Softmax, Unflatten
from pulsarray.compiler.ir.window import Window
from pulsarray.compiler.spatial import (
    Add,
    AveragePool,
    BatchNorm,
    Concat,
    Convolution,
    Dropout,
    LocalResponseNorm,
    MaxPool,
    Pad,
    Shuffle,
    TransposedConvolution,
)

__all__ = ["run_graph", "run_node"]

Array = npt.NDArray[Any]

_FEW_CHANNELS = 16
"""Below so many channels a copy of all windows is faster than one product a kernel element."""


def run_graph(graph: Graph, samples: Array) -> dict[str, Array]:
    """Every value of a network.

    Parameters
    ----------
    graph
        The network.
    samples
        Inputs as the graph has them, (samples, *graph.input.shape), float32 or float64: all
        arithmetic has this type. What overflows becomes infinite.
    """
    values = {graph.input.name: samples}
    with np.errstate(over="ignore", invalid="ignore"):
        for node in graph.nodes:
            values[node.output] = run_node(node, *(values[name] for name in node.inputs))
    return values


def run_node(node: Node, *inputs: Array) -> Array:
    """Result of one operator on arrays whose first axis is the batch."""
    given = inputs[0]
    kind = given.dtype
    result: Array
    if isinstance(node, Dense):
        result = given @ node.weight.astype(kind, copy=False) + node.bias.astype(kind, copy=False)
    elif isinstance(node, Convolution):
        result = _convolution(node, given)
    elif isinstance(node, TransposedConvolution):
        result = _transposed(node, given)
    elif isinstance(node, MaxPool):
        result = _max_pool(node.window, given)
    elif isinstance(node, AveragePool):
        result = _average_pool(node, given)
    elif isinstance(node, BatchNorm):
        factor, offset = node.affine()
        result = given * factor.astype(kind) + offset.astype(kind)
    elif isinstance(node, Add):
        result = given + inputs[1]
    elif isinstance(node, Concat):
        result = np.concatenate(inputs, axis=-1)
    elif isinstance(node, Pad):
        result = _padded(given, node.padding, 0.0)
    elif isinstance(node, Shuffle):
        result = given[..., list(node.order)]
    elif isinstance(node, LocalResponseNorm):
        result = given / node.denominator(_neighbour_sums(node, given * given)).astype(kind)
    elif isinstance(node, Flatten):
        result = given.reshape(len(given), -1)
    elif isinstance(node, Unflatten):
        result = given[:, list(node.order)].reshape(len(given), *node.sizes)
    elif isinstance(node, Activate | Softmax):
        result = node(given)
    else:
        assert isinstance(node, Dropout)
        result = given
    return result


def _padded(given: Array, padding: tuple[int, int, int, int], value: float) -> Array:
    top, left, bottom, right = padding
    if not any(padding):
        return given
    around = ((0, 0), (top, bottom), (left, right), (0, 0))
    return np.pad(given, around, constant_values=value)


def _views(window: Window, given: Array, value: float) -> Iterator[tuple[int, int, Array]]:
    """For each kernel element what it sees, (samples, H', W', C), in all windows."""
    _, height, width, _ = given.shape
    rows, columns = window.output(height, width)
    padded = _padded(given, window.padding, value)
    (dy, dx), (sy, sx) = window.dilation, window.stride
    for y in range(window.kernel[0]):
        for x in range(window.kernel[1]):
            ends = y * dy + (rows - 1) * sy + 1, x * dx + (columns - 1) * sx + 1
            yield y, x, padded[:, y * dy : ends[0] : sy, x * dx : ends[1] : sx]


def _convolution(node: Convolution, given: Array) -> Array:
    weight = node.weight.astype(given.dtype, copy=False)
    bias = node.bias.astype(given.dtype, copy=False)
    *_, depth, count = weight.shape
    samples, groups = len(given), node.groups
    views = _views(node.window, given, 0.0)
    if depth == 1 and count == groups:
        return np.asarray(sum(view * weight[y, x, 0] for y, x, view in views) + bias)
    rows, columns = node.window.output(given.shape[1], given.shape[2])
    shape = (samples, rows, columns, count)
    result: Array
    if groups == 1 and depth < _FEW_CHANNELS:
        patches = np.concatenate([view for *_, view in views], axis=-1)
        result = patches.reshape(-1, weight.size // count) @ weight.reshape(-1, count)
    elif groups == 1:
        result = np.zeros((samples * rows * columns, count), given.dtype)
        for y, x, view in views:
            result += view.reshape(-1, depth) @ weight[y, x]
    else:
        split = np.zeros((groups, samples * rows * columns, count // groups), given.dtype)
        for y, x, view in views:
            parts = view.reshape(-1, groups, depth).transpose(1, 0, 2)
            split += parts @ weight[y, x].reshape(depth, groups, -1).transpose(1, 0, 2)
        result = split.transpose(1, 0, 2)
    return np.asarray(result.reshape(shape) + bias)


def _transposed(node: TransposedConvolution, given: Array) -> Array:
    weight = node.weight.astype(given.dtype, copy=False)
    window, groups = node.window, node.groups
    samples, height, width, channels = given.shape
    count = weight.shape[3] * groups
    rows, columns, _ = node.shape(given.shape[1:])
    (sy, sx), (dy, dx) = window.stride, window.dilation
    top, left, *_ = window.padding
    extent = [(window.kernel[axis] - 1) * window.dilation[axis] + 1 for axis in (0, 1)]
    full = np.zeros(
        (
            samples,
            max((height - 1) * sy + extent[0], top + rows),
            max((width - 1) * sx + extent[1], left + columns),
            count,
        ),
        given.dtype,
    )
    parts = given.reshape(-1, groups, channels // groups).transpose(1, 0, 2)
    for y in range(window.kernel[0]):
        for x in range(window.kernel[1]):
            product = parts @ weight[y, x].reshape(groups, channels // groups, -1)
            term = product.transpose(1, 0, 2).reshape(samples, height, width, count)
            ends = y * dy + (height - 1) * sy + 1, x * dx + (width - 1) * sx + 1
            full[:, y * dy : ends[0] : sy, x * dx : ends[1] : sx] += term
    cut = full[:, top : top + rows, left : left + columns]
    return np.asarray(cut + node.bias.astype(given.dtype, copy=False))


def _max_pool(window: Window, given: Array) -> Array:
    _, height, width, _ = given.shape
    if window.kernel == (height, width) and not any(window.padding):
        return np.asarray(given.max(axis=(1, 2), keepdims=True))
    views = (view for *_, view in _views(window, given, -np.inf))
    result = next(views).copy()
    for view in views:
        np.maximum(result, view, out=result)
    return result


def _average_pool(node: AveragePool, given: Array) -> Array:
    window = node.window
    _, height, width, _ = given.shape
    if window.kernel == (height, width) and not any(window.padding):
        return np.asarray(given.mean(axis=(1, 2), keepdims=True))
    total = sum(view for *_, view in _views(window, given, 0.0))
    if node.include_padding or not any(window.padding):
        return np.asarray(total / (window.kernel[0] * window.kernel[1]))
    ones = np.ones((1, height, width, 1), given.dtype)
    return np.asarray(total / sum(view for *_, view in _views(window, ones, 0.0)))


def _neighbour_sums(node: LocalResponseNorm, squares: Array) -> Array:
    """Sum of each channel and those around it."""
    before, after = (node.size - 1) // 2, -(-(node.size - 1) // 2)
    channels = squares.shape[-1]
    pads = [(0, 0)] * (squares.ndim - 1) + [(before, after)]
    padded = np.pad(squares, pads)
    return np.asarray(sum(padded[..., k : k + channels] for k in range(node.size)))
