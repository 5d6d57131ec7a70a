"""TensorFlow Lite's operators that make maps larger or smaller."""

from __future__ import annotations

from dataclasses import replace
from math import gcd

import numpy as np

from pulsarray.compiler.importers.tflite.file import Operator
from pulsarray.compiler.importers.tflite.layout import same_codes
from pulsarray.compiler.importers.tflite.lines import resized
from pulsarray.compiler.importers.tflite.network import Meaning, Network, copying
from pulsarray.compiler.importers.tflite.operands import LONGEST
from pulsarray.compiler.importers.tflite.windows import reduced_axes, same_quantization
from pulsarray.compiler.ir.value import Array, Shape, Value
from pulsarray.compiler.ir.window import Window
from pulsarray.compiler.ops.integer import (
    Convolution,
    Elementwise,
    MaxPool,
    Resize,
    Split,
    TransposedConvolution,
)
from pulsarray.compiler.ops.integer.codes import HIGH, LOW
from pulsarray.compiler.ops.integer.resize import whole_lines
from pulsarray.compiler.ops.resize import Lines
from pulsarray.errors import InputError

__all__ = ["depth_to_space", "extreme", "resize", "space_to_depth"]

_STEPS = 1 << 10
"""Parts of the way from one line to the next that RESIZE_BILINEAR knows."""


def resize(network: Network, operator: Operator) -> None:
    """RESIZE_BILINEAR, RESIZE_NEAREST_NEIGHBOR."""
    source = network.image(operator)
    sizes = network.constant(operator, 1, "int32").reshape(-1).tolist()
    if max((*sizes, *source.shape[:2])) > LONGEST:
        raise InputError(f"from {source.shape[:2]} to {sizes}: rows or columns are too many")
    target = network.result(operator, (*sizes[:2], source.shape[2]))
    op = resized(operator, source.shape, sizes)
    rows, columns = op.rows, op.columns
    if operator.kind == "RESIZE_BILINEAR":
        corners, half = operator.option("AlignCorners"), operator.option("HalfPixelCenters")
        rows, columns = (
            _bilinear(old, new, corners=bool(corners), half=bool(half))
            for old, new in zip(source.shape[:2], sizes, strict=True)
        )
    same_quantization(source.codes, target.codes)
    made = Resize.away(whole_lines(rows), whole_lines(columns))
    if made.largest > HIGH:
        raise InputError(f"from {source.shape[:2]} to {sizes} needs weights of more than 7 bits")
    network.add(operator, made, [source], target, target.shape)


def _bilinear(old: int, new: int, *, corners: bool, half: bool) -> Lines:
    """As the kernel's integers have it: weights count parts of 2^-10."""
    step = (_STEPS * old + new // 2) // new
    if corners and new > 1:
        step = (_STEPS * (old - 1) + (new - 1) // 2) // (new - 1)
    places = np.arange(new) * step + (step // 2 - _STEPS // 2 if half else 0)
    first = np.clip(np.trunc(places / _STEPS).astype(np.int64), 0, old - 1)
    last = np.minimum(np.trunc((places + _STEPS - 1) / _STEPS).astype(np.int64), old - 1)
    parts = places - first * _STEPS
    common = gcd(_STEPS, *parts.tolist())
    terms = []
    for low, high, part in zip(first.tolist(), last.tolist(), parts.tolist(), strict=True):
        weights = {low: (_STEPS - part) // common}
        weights[high] = weights.get(high, 0) + part // common
        terms.append(tuple((p, w / (_STEPS // common)) for p, w in sorted(weights.items()) if w))
    return Lines(old, tuple(terms))


def extreme(network: Network, operator: Operator) -> None:
    """REDUCE_MAX, and REDUCE_MIN as one of codes the other way round."""
    source, over = network.image(operator), reduced_axes(network, operator)
    tensor, least = network.target(operator), operator.kind == "REDUCE_MIN"
    same_codes(source.codes, tensor)
    if least:
        source = _reversed(network, operator, source)
    channels = source.shape[2]
    kernel = [source.shape[0] if over[0] else 1, source.shape[1] if over[1] else 1]
    if over[2] and channels > 1:
        op = Split(channels)
        source = network.between(tensor, "split", op, source, op.shape(source.shape))
        kernel[1] *= channels
    window = Window((kernel[0], kernel[1]), (kernel[0], kernel[1]))
    shape = (*window.output(*source.shape[:2]), source.shape[2])
    made, wanted = network.shaped(operator, shape)
    network.add(operator, MaxPool(window), [source], made, wanted)
    if least:
        made = _reversed(network, operator, made)
        network.values[tensor.index] = Meaning(made, wanted)


def _reversed(network: Network, operator: Operator, source: Value) -> Value:
    """Codes from the other end."""
    scale = replace(copying(source.codes.zero), table=np.arange(HIGH, LOW - 1, -1))
    tensor = network.target(operator)
    return network.between(tensor, "reversed", Elementwise(scale), source, source.shape)


def depth_to_space(network: Network, operator: Operator) -> None:
    """DEPTH_TO_SPACE: channels become rows and columns of blocks."""
    source, block = network.image(operator), operator.option("BlockSize")
    height, width, channels = source.shape
    _check(network, block, channels % max(block, 1) ** 2 == 0, source.shape)
    numbers = np.arange(channels)
    weight = (numbers[:, None] == numbers.reshape(block, block, 1, -1)).astype(np.int64)
    op = TransposedConvolution(
        Window((block, block), (block, block)), 1, copying(source.codes.zero)
    )
    shape = height * block, width * block, channels // block**2
    _product(network, operator, op, source, weight, shape)


def space_to_depth(network: Network, operator: Operator) -> None:
    """SPACE_TO_DEPTH: rows and columns of blocks become channels."""
    source, block = network.image(operator), operator.option("BlockSize")
    height, width, channels = source.shape
    fits = height % max(block, 1) == 0 == width % max(block, 1)
    _check(network, block, fits, (height, width, channels * max(block, 1) ** 2))
    numbers = np.arange(channels * block**2)
    weight = numbers.reshape(block, block, channels, 1) == numbers
    op = Convolution(Window((block, block), (block, block)), 1, copying(source.codes.zero))
    shape = height // block, width // block, len(numbers)
    _product(network, operator, op, source, weight.astype(np.int64), shape)


def _check(network: Network, block: int, fits: bool, shape: Shape) -> None:
    if block < 1 or not fits:
        raise InputError(f"a map of shape {shape} has no blocks of {block} x {block}")
    network.spend(shape[2] ** 2)


def _product(
    network: Network,
    operator: Operator,
    op: Convolution | TransposedConvolution,
    source: Value,
    weight: Array,
    shape: Shape,
) -> None:
    """A product with 0 and 1."""
    target = network.result(operator, shape)
    same_quantization(source.codes, target.codes)
    bias = np.zeros(shape[2], np.int64)
    network.add_product(operator, op, source, weight, bias, target)
