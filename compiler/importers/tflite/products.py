"""What TensorFlow Lite's convolutions and dense layers become."""

from __future__ import annotations

from math import prod

import numpy as np
import numpy.typing as npt

from pulsarray.compiler.importers.tflite.file import Operator, Tensor
from pulsarray.compiler.importers.tflite.network import Meaning, Network
from pulsarray.compiler.importers.tflite.scales import (
    activation_limits,
    away_scale,
    channel_ratios,
    check_sums,
    tflite_scale,
    weight_scales,
)
from pulsarray.compiler.importers.tflite.windows import window_of
from pulsarray.compiler.ir.value import Value
from pulsarray.compiler.ir.window import Window
from pulsarray.compiler.ops.integer import Convolution, TransposedConvolution
from pulsarray.compiler.ops.integer.scale import Scale
from pulsarray.errors import InputError

__all__ = ["convolution", "dense", "depthwise", "transposed"]

Ints = npt.NDArray[np.int64]


def convolution(network: Network, operator: Operator) -> None:
    """CONV_2D: weight (N, kh, kw, C / groups)."""
    weight = _weight(network, operator)
    channels = network.bordered(operator).shape[2]
    if channels % weight.shape[3] or weight.shape[0] % (channels // weight.shape[3]):
        raise InputError(f"weight of shape {weight.shape} does not fit {channels} channels")
    groups = channels // weight.shape[3]
    _convolve(network, operator, np.moveaxis(weight, 0, 3), groups, axis=0)


def depthwise(network: Network, operator: Operator) -> None:
    """DEPTHWISE_CONV_2D: weight (1, kh, kw, C * multiplier); each channel is a group."""
    weight = _weight(network, operator)
    channels = network.bordered(operator).shape[2]
    if weight.shape[0] != 1 or weight.shape[3] % channels:
        raise InputError(f"weight of shape {weight.shape} does not fit {channels} channels")
    _convolve(network, operator, np.moveaxis(weight, 0, 2), channels, axis=3)


def _weight(network: Network, operator: Operator, place: int = 1) -> Ints:
    weight = network.constant(operator, place, "int8")
    if weight.ndim != 4:
        raise InputError(f"weight must have 4 dimensions, not shape {weight.shape}")
    return weight


def _convolve(
    network: Network, operator: Operator, weight: Ints, groups: int, *, axis: int
) -> None:
    value = network.bordered(operator)
    kernel = (weight.shape[0], weight.shape[1])
    dilation = (operator.option("DilationHFactor"), operator.option("DilationWFactor"))
    window = window_of(operator, value, kernel, dilation)
    source, count = value.source, weight.shape[3]
    target = network.result(operator, (*window.output(*source.shape[:2]), count))
    bias = _bias(network, operator, 2, count)
    scale = _scale(network, operator, source, target, count, axis)
    check_sums(_reach(weight, bias, source.codes.zero), scale)
    op = Convolution(window, groups, scale)
    network.add_product(operator, op, source, weight, bias, target)


def _bias(network: Network, operator: Operator, place: int, count: int) -> Ints:
    if network.tensor(operator, place) is None:
        return np.zeros(count, np.int64)
    bias = network.constant(operator, place, "int32").reshape(-1)
    if len(bias) != count:
        raise InputError(f"bias must have {count} elements, not {len(bias)}")
    return bias


def _tensor(network: Network, operator: Operator) -> Tensor:
    weight = network.tensor(operator, 1)
    assert weight is not None  # its elements are known already
    return weight


def _scale(
    network: Network,
    operator: Operator,
    source: Value,
    target: Value,
    count: int,
    axis: int,
) -> Scale:
    weights = weight_scales(_tensor(network, operator), count, axis)
    ratios = channel_ratios(source.codes, weights, target.codes)
    return tflite_scale(ratios, target.codes, activation_limits(operator, target.codes))


def _reach(weight: Ints, bias: Ints, zero: int) -> Ints:
    """The largest magnitude of each result's sum (the last axis counts results)."""
    axes = tuple(range(weight.ndim - 1))
    above = np.maximum(weight, 0).sum(axes)
    below = np.maximum(-weight, 0).sum(axes)
    largest = above * (127 - zero) + below * (128 + zero)
    smallest = above * (128 + zero) + below * (127 - zero)
    return np.asarray(np.maximum(largest, smallest) + np.abs(bias), np.int64)


def dense(network: Network, operator: Operator) -> None:
    """FULLY_CONNECTED: weight (N, K); a convolution over the whole map, or over each pixel."""
    if operator.option("WeightsFormat"):
        raise InputError("shuffled weights are not supported")
    value = network.plain(operator)
    source = value.source
    weight = network.constant(operator, 1, "int8")
    if weight.ndim != 2:
        raise InputError(f"weight must have 2 dimensions, not shape {weight.shape}")
    count, depth = weight.shape
    if depth == prod(source.shape):
        kernel, shape = (source.shape[0], source.shape[1]), (1, 1, count)
    elif depth == value.shape[2]:
        source = network.image(operator)
        kernel, shape = (1, 1), (*source.shape[:2], count)
    else:
        raise InputError(f"weight of shape {weight.shape} does not fit an input of {value.shape}")
    target = network.result(operator, shape)
    bias = _bias(network, operator, 2, count)
    weights = weight_scales(_tensor(network, operator), count, 0)
    ratios = channel_ratios(source.codes, weights, target.codes)
    scale = away_scale(ratios, target.codes, activation_limits(operator, target.codes))
    laid = np.moveaxis(weight.reshape(count, *kernel, source.shape[2]), 0, 3)
    check_sums(_reach(laid, bias, source.codes.zero), scale)
    op = Convolution(Window(kernel), 1, scale)
    network.add_product(operator, op, source, laid, bias, target)


def transposed(network: Network, operator: Operator) -> None:
    """TRANSPOSE_CONV: the result's shape, weight (N, kh, kw, C), input, bias."""
    weight = _weight(network, operator)
    source = network.image(operator, 2)
    if weight.shape[3] != source.shape[2]:
        raise InputError(f"weight of shape {weight.shape} does not fit {source.shape[2]} channels")
    wanted = network.constant(operator, 0, "int32").reshape(-1).tolist()
    if len(wanted) != 4 or wanted[3] != weight.shape[0]:
        raise InputError(f"result's shape {wanted} does not fit a weight of {weight.shape}")
    target = network.result(operator, (wanted[1], wanted[2], wanted[3]))
    # Padding is that of the convolution from the result back to the input.
    back = window_of(operator, Meaning(target, target.shape), weight.shape[1:3])
    if back.output(*target.shape[:2]) != source.shape[:2]:
        raise InputError(f"result of {target.shape} does not fit an input of {source.shape}")
    laid, padding = np.moveaxis(weight, 0, 3), list(back.padding)
    for axis in range(2):
        # Rows that no input reaches: further ones of the kernel that are zero.
        full = (source.shape[axis] - 1) * back.stride[axis] + laid.shape[axis]
        missing = target.shape[axis] - (full - padding[axis])
        padding[axis + 2] = max(-missing, 0)
        if missing > 0:
            laid = np.pad(laid, [(0, missing if a == axis else 0) for a in range(4)])
    count = weight.shape[0]
    bias = _bias(network, operator, 3, count)
    scale = _scale(network, operator, source, target, count, 0)
    check_sums(_reach(laid, bias, source.codes.zero), scale)
    top, left, bottom, right = padding
    window = Window((laid.shape[0], laid.shape[1]), back.stride, (top, left, bottom, right))
    op = TransposedConvolution(window, 1, scale)
    network.add_product(operator, op, source, laid, bias, target)
