"""Windows of TensorFlow Lite's operators, with the padding that SAME and VALID mean, and pools."""

from __future__ import annotations

from dataclasses import replace
from math import isclose, prod

import numpy as np
import numpy.typing as npt

from pulsarray.compiler.importers.tflite.file import Operator
from pulsarray.compiler.importers.tflite.network import ELEMENTS, Meaning, Network
from pulsarray.compiler.importers.tflite.scales import (
    activation_limits,
    away_scale,
    check_sums,
    ratio_pair,
)
from pulsarray.compiler.ir.formats import Affine8
from pulsarray.compiler.ir.value import Value
from pulsarray.compiler.ir.window import Window
from pulsarray.compiler.ops.integer import AveragePool, Convolution, MaxPool
from pulsarray.compiler.ops.integer.codes import HIGH, LOW
from pulsarray.compiler.ops.integer.pool import count_scale
from pulsarray.compiler.ops.integer.scale import Scale
from pulsarray.errors import InputError

__all__ = ["average_pool", "max_pool", "reduced_axes", "same_quantization", "total", "window_of"]

Ints = npt.NDArray[np.int64]
_SAME, _VALID = 0, 1
_LARGEST = 1 << 15  # of a kernel, stride or dilation, and elements of an averaged window


def window_of(
    operator: Operator,
    value: Meaning,
    kernel: tuple[int, int],
    dilation: tuple[int, int] = (1, 1),
) -> Window:
    """The window of an operator on a map, whose missing border becomes part of it.

    Raises
    ------
    InputError
        If a number is impossible.
    """
    stride = (operator.option("StrideH"), operator.option("StrideW"))
    numbers = (*kernel, *stride, *dilation)
    if min(numbers) < 1 or max(numbers) >= _LARGEST:
        raise InputError(
            f"kernel {kernel}, stride {stride} and dilation {dilation} must be 1 .. {_LARGEST - 1}"
        )
    if (kind := operator.option("Padding")) not in (_SAME, _VALID):
        raise InputError(f"padding {kind} is not supported (SAME, VALID)")
    before, after, plain = [], [], Window(kernel, stride, dilation=dilation)
    for axis in range(2):
        total = plain.missing(axis, value.shape[axis]) if kind == _SAME else 0
        before.append(total // 2 + value.padding[axis])
        after.append(total - total // 2 + value.padding[axis + 2])
    height, width, channels = value.source.shape
    if (height + before[0] + after[0]) * (width + before[1] + after[1]) * channels > ELEMENTS:
        raise InputError(f"an input of {value.shape} with its padding is too large")
    return replace(plain, padding=(before[0], before[1], after[0], after[1]))


def max_pool(network: Network, operator: Operator) -> None:
    """MAX_POOL_2D."""
    window, source, target = _pool(network, operator)
    pool = MaxPool(window, *activation_limits(operator, target.codes))
    network.add(operator, pool, [source], target, target.shape)


def average_pool(network: Network, operator: Operator) -> None:
    """AVERAGE_POOL_2D: of the codes themselves, half way rounded away from zero."""
    window, source, target = _pool(network, operator)
    counts = [_counts(window, axis, source.shape[axis]) for axis in range(2)]
    if (most := max(counts[0]) * max(counts[1])) >= _LARGEST:
        raise InputError(f"a window of {most} elements is too large for a mean")
    sizes = sorted({rows * columns for rows in counts[0] for columns in counts[1]})
    scales = {count: count_scale(count, away=True) for count in sizes}
    low, high = activation_limits(operator, target.codes)
    pool = AveragePool(
        window, include_padding=False, scales=scales, offset=0, low=low, high=high, raw=True
    )
    network.add(operator, pool, [source], target, target.shape)


def _pool(network: Network, operator: Operator) -> tuple[Window, Value, Value]:
    source = network.image(operator)
    kernel = (operator.option("FilterHeight"), operator.option("FilterWidth"))
    window = window_of(operator, Meaning(source, source.shape), kernel)
    shape = (*window.output(*source.shape[:2]), source.shape[2])
    target = network.result(operator, shape)
    same_quantization(source.codes, target.codes)
    return window, source, target


def same_quantization(source: Affine8, target: Affine8) -> None:
    """Refuse an operator on codes between maps of two quantizations.

    Raises
    ------
    InputError
        If scale or zero point differ.
    """
    before, wanted = ((codes.scale, codes.zero) for codes in (source, target))
    if not isclose(before[0], wanted[0], rel_tol=1e-5) or before[1] != wanted[1]:
        raise InputError(f"input and result must have one quantization, not {before} and {wanted}")


def _counts(window: Window, axis: int, size: int) -> list[int]:
    """Numbers of rows, or columns, of the input itself that windows see."""
    padded = size + window.padding[axis] + window.padding[axis + 2]
    first = np.arange(0, padded - window.kernel[axis] + 1, window.stride[axis])
    first = first - window.padding[axis]
    seen = np.minimum(first + window.kernel[axis], size) - np.maximum(first, 0)
    return [int(count) for count in np.unique(seen)]


def total(network: Network, operator: Operator) -> None:
    """MEAN, SUM: a product with ones."""
    source = network.image(operator)
    over = reduced_axes(network, operator)
    count = prod(size for size, gone in zip(source.shape, over, strict=True) if gone)
    if count >= _LARGEST:
        raise InputError(f"a window of {count} elements is too large for a sum")
    height, width, channels = source.shape
    kernel = height if over[0] else 1, width if over[1] else 1
    shape = height // kernel[0], width // kernel[1], 1 if over[2] else channels
    target, wanted = network.shaped(operator, shape)
    codes, ratio = target.codes, source.codes.scale / target.codes.scale
    if operator.kind == "SUM":
        # As the usual kernel: that of reference (2.3.0) reads codes of int8 as unsigned.
        narrow = np.float32(source.codes.scale) / np.float32(codes.scale)
        scale = away_scale([float(narrow)], codes, (LOW, HIGH))
    else:
        scale = replace(_mean_scale(ratio, count), zero=codes.zero)
    check_sums(np.array([255 * count]), scale)
    network.spend(count if over[2] else count * channels)
    ones = np.ones((*kernel, channels if over[2] else 1, shape[2]), np.int64)
    op = Convolution(Window(kernel), 1 if over[2] else channels, scale)
    network.add_product(operator, op, source, ones, np.zeros(shape[2], np.int64), target)
    network.values[operator.outputs[0]] = Meaning(target, wanted)


def _mean_scale(ratio: float, count: int) -> Scale:
    """The kernel's, which rounds twice as those of products do.

    It divides the multiplier by the count, keeping its bits as far as shifts allow.
    """
    multiplier, shift = ratio_pair(ratio)
    further = min(count.bit_length() - 1, 62 - shift)
    pair = (multiplier << further) // count, shift + further
    return Scale(np.array(pair[:1]), np.array(pair[1:]), tflite=True)


def reduced_axes(network: Network, operator: Operator) -> tuple[bool, bool, bool]:
    """Which axes of its input's map an operator reduces.

    Raises
    ------
    InputError
        If the batch is among them, an axis is none, or there are none.
    """
    axes = network.constant(operator, 1, "int32").reshape(-1).tolist()
    places = {network.place(operator, axis) for axis in axes}
    if not places:
        raise InputError(f"axes {axes} are not possible")
    return 0 in places, 1 in places, 2 in places
