"""What an int8 network computes, without a machine: the definitions of the operators, in NumPy.

Written from :mod:`pulsarray.compiler.maps.integer` alone, not from instructions: a program's
tensors must equal these bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from pulsarray.compiler.importers.tflite.rounding import high_multiply, rounding_shift, scale_sums
from pulsarray.compiler.interpreter import requantize, round_half_even
from pulsarray.compiler.ir.window import Window
from pulsarray.compiler.maps.integer import (
    Add,
    AveragePool,
    Concat,
    Convolution,
    Elementwise,
    IntegerGraph,
    MaxPool,
    Multiply,
    Node,
    Residual,
    Scale,
    TfliteAdd,
    TransposedConvolution,
)
from pulsarray.errors import InputError

__all__ = ["run_integer", "run_node", "run_output"]

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
_LEAST = -129  # below every code: padding never is a maximum


def run_integer(graph: IntegerGraph, codes: npt.ArrayLike) -> dict[str, Ints]:
    """Every map of a network by name, of shape (N, H, W, C): the input's codes are given.

    Raises
    ------
    InputError
        If the codes are not int8 codes of the input's shape.
    """
    maps = {graph.input.name: _input_codes(graph, codes)}
    for node in graph.nodes:
        maps[node.output] = run_node(node, [maps[name] for name in node.inputs])
    return maps


def run_output(graph: IntegerGraph, codes: npt.ArrayLike) -> Ints:
    """The result of a network, of shape (N, H, W, C), from its input's codes.

    Maps are dropped as soon as nothing reads them any more.

    Raises
    ------
    InputError
        If the codes are not int8 codes of the input's shape.
    """
    maps, uses = {graph.input.name: _input_codes(graph, codes)}, dict(graph.uses)
    uses[graph.output] += 1
    for node in graph.nodes:
        maps[node.output] = run_node(node, [maps[name] for name in node.inputs])
        for name in node.inputs:
            uses[name] -= 1
            if not uses[name]:
                del maps[name]
    return maps[graph.output]


def _input_codes(graph: IntegerGraph, codes: npt.ArrayLike) -> Ints:
    given = np.asarray(codes)
    if given.dtype.kind not in "iu" or given.shape[1:] != graph.input.shape or given.ndim != 4:
        raise InputError(
            f"{graph.name}: input must be integers of shape (N, H, W, C) with (H, W, C) = "
            f"{graph.input.shape}, not {given.dtype} of {given.shape}"
        )
    if given.size and (int(given.min()) < -128 or int(given.max()) > 127):
        raise InputError(f"{graph.name}: input codes must be -128 .. 127")
    return given.astype(np.int64)


def run_node(node: Node, given: list[Ints]) -> Ints:
    """The result of one operator, of shape (N, H, W, C), from those that it reads."""
    match node:
        case Convolution():
            sums = _convolve(node, given[0]) + node.bias
            if node.scale.sums:
                return sums
            if node.residual:
                return _scale_both(sums, node.scale, node.residual, given[1])
            return _scale(sums, node.scale)
        case TransposedConvolution():
            return _scale(_spread(node, given[0]) + node.bias, node.scale)
        case MaxPool():
            return np.clip(_maximum(node.window, given[0]), node.low, node.high)
        case AveragePool():
            return _average(node, given[0])
        case Elementwise():
            return _scale(given[0] - node.zero_in, node.scale)
        case Add():
            terms = [
                (codes - zero) * factor
                for codes, zero, factor in zip(given, node.zeros, node.factors, strict=True)
            ]
            total = round_half_even(terms[0] + terms[1], np.asarray(node.shift, np.int64))
            return np.clip(total + node.zero, node.low, node.high)
        case TfliteAdd():
            return _tflite_add(node, given)
        case Multiply():
            product = (given[0] - node.zeros[0]) * (given[1] - node.zeros[1])
            scaled = requantize(product, node.multiplier, node.shift)
            return np.clip(scaled + node.zero, node.low, node.high)
        case Concat():
            return np.concatenate(given, axis=3)


def _scale(sums: Ints, scale: Scale) -> Ints:
    if scale.fine:
        fine = np.asarray(scale.fine, np.int64)
        return _finish(round_half_even(_fine(sums, scale), fine), scale)
    scaling = scale_sums if scale.tflite else requantize
    return _finish(scaling(sums, scale.multiplier, scale.shift), scale)


def _fine(sums: Ints, scale: Scale) -> Ints:
    """Sums in codes with bits below them, in 32 bits, and the offset."""
    scaled = requantize(sums, scale.multiplier, scale.shift)
    offset = 0 if scale.offset is None else scale.offset
    return np.clip(scaled, -(1 << 31), (1 << 31) - 1) + offset


def _scale_both(sums: Ints, scale: Scale, residual: Residual, codes: Ints) -> Ints:
    second = (codes - residual.zero) * residual.factor
    if not residual.shift:
        return _finish(round_half_even(sums * scale.multiplier + second, scale.shift), scale)
    total = (_fine(sums, scale) << (residual.shift - scale.fine)) + second
    return _finish(round_half_even(total, np.asarray(residual.shift, np.int64)), scale)


def _finish(scaled: Ints, scale: Scale) -> Ints:
    result = np.clip(scaled + scale.zero, scale.low, scale.high)
    return result if scale.table is None else scale.table[result + 128]


def _padded(window: Window, codes: npt.NDArray[np.generic], value: int) -> Floats:
    """The input in float64, which is exact, with a border of one value."""
    top, left, bottom, right = window.padding
    border = ((0, 0), (top, bottom), (left, right), (0, 0))
    return np.pad(codes.astype(np.float64), border, constant_values=value)


def _taps(window: Window, padded: Floats) -> Iterator[tuple[int, int, Floats]]:
    """What each element of a kernel sees, for all places of the result: (N, H', W', C)."""
    rows, columns = _size(window, padded)
    for y in range(window.kernel[0]):
        for x in range(window.kernel[1]):
            top, left = y * window.dilation[0], x * window.dilation[1]
            bottom = top + (rows - 1) * window.stride[0] + 1
            right = left + (columns - 1) * window.stride[1] + 1
            yield y, x, padded[:, top : bottom : window.stride[0], left : right : window.stride[1]]


def _size(window: Window, padded: Floats) -> tuple[int, int]:
    """Rows and columns of a window's result on an input with its border."""
    bare = Window(window.kernel, window.stride, (0, 0, 0, 0), window.dilation)
    return bare.output(padded.shape[1], padded.shape[2])


def _convolve(node: Convolution, codes: Ints) -> Ints:
    """Sums of products; all are integers far below 2^53, so float64 is exact, and much faster."""
    padded = _padded(node.window, codes - node.zero_in, 0)
    groups, (*_, depth, count) = node.groups, node.weight.shape
    sums = np.zeros((len(codes), *_size(node.window, padded), count))
    for y, x, tap in _taps(node.window, padded):
        weight = node.weight[y, x].astype(np.float64)
        if groups == 1:
            sums += np.tensordot(tap, weight, 1)
        elif depth == 1:
            sums += np.repeat(tap, count // groups, axis=3) * weight[0]
        else:
            parts = np.moveaxis(tap.reshape(*tap.shape[:3], groups, depth), 3, 0)
            # One product of matrices for each group: weight (depth, groups, count / groups).
            shares = np.moveaxis(weight.reshape(depth, groups, count // groups), 1, 0)
            product = parts.reshape(groups, -1, depth) @ shares
            sums += np.moveaxis(product, 0, 1).reshape(sums.shape)
    return sums.astype(np.int64)


def _spread(node: TransposedConvolution, codes: Ints) -> Ints:
    window, values = node.window, (codes - node.zero_in).astype(np.float64)
    samples, height, width, channels = codes.shape
    per_group, depth = node.weight.shape[3], channels // node.groups
    extents = [(k - 1) * d + 1 for k, d in zip(window.kernel, window.dilation, strict=True)]
    full = [
        (n - 1) * s + e for n, s, e in zip((height, width), window.stride, extents, strict=True)
    ]
    top, left, bottom, right = window.padding
    rows, columns = full[0] - top - bottom, full[1] - left - right
    # Negative padding adds rows that no input reaches.
    border = [max(top + rows, full[0]), max(left + columns, full[1])]
    sums = np.zeros((samples, *border, node.groups * per_group))
    for y in range(window.kernel[0]):
        for x in range(window.kernel[1]):
            first, start = y * window.dilation[0], x * window.dilation[1]
            seen = sums[:, first:, start:][:, :: window.stride[0], :: window.stride[1]]
            for group in range(node.groups):
                part = slice(group * depth, (group + 1) * depth)
                weight = node.weight[y, x, part].astype(np.float64)
                results = slice(group * per_group, (group + 1) * per_group)
                seen[:, :height, :width, results] += np.tensordot(values[..., part], weight, 1)
    return sums[:, top : top + rows, left : left + columns].astype(np.int64)


def _maximum(window: Window, codes: Ints) -> Ints:
    padded = _padded(window, codes, _LEAST)
    result = np.full((len(codes), *_size(window, padded), codes.shape[3]), float(_LEAST))
    for _, _, tap in _taps(window, padded):
        np.maximum(result, tap, out=result)
    return result.astype(np.int64)


def _average(node: AveragePool, codes: Ints) -> Ints:
    padded = _padded(node.window, codes - node.zero_in, 0)
    inside = _padded(node.window, np.ones((1, *codes.shape[1:3], 1)), int(node.include_padding))
    size = _size(node.window, padded)
    sums = np.zeros((len(codes), *size, codes.shape[3]))
    counts = np.zeros((1, *size, 1))
    for _, _, tap in _taps(node.window, padded):
        sums += tap
    for _, _, tap in _taps(node.window, inside):
        counts += tap
    multiplier, shift = np.empty(counts.shape, np.int64), np.empty(counts.shape, np.int64)
    for count in np.unique(counts):
        place = counts == count
        # A window that sees padding alone has the sum 0, whatever its scale.
        multiplier[place], shift[place] = node.scales[int(count)] if count else (0, 0)
    scaled = requantize(sums.astype(np.int64), multiplier, shift)
    return np.clip(scaled + node.zero, node.low, node.high)


def _tflite_add(node: TfliteAdd, given: list[Ints]) -> Ints:
    total: Ints | int = 0
    for codes, zero, (multiplier, shift) in zip(given, node.zeros, node.scales, strict=True):
        total = total + rounding_shift(high_multiply((codes - zero) << 20, multiplier), shift - 31)
    multiplier, shift = node.result
    scaled = rounding_shift(high_multiply(total, multiplier), shift - 31)
    return np.clip(scaled + node.zero, node.low, node.high)
