"""Products with weights of TensorFlow Lite files in floating point."""

from __future__ import annotations

from math import prod

import numpy as np

from pulsarray.compiler.importers.tflite.file import Operator
from pulsarray.compiler.importers.tflite.network import Meaning
from pulsarray.compiler.importers.tflite.real_frames import multiplied
from pulsarray.compiler.importers.tflite.real_network import RealNetwork
from pulsarray.compiler.importers.tflite.windows import window_of
from pulsarray.compiler.ir.value import Floats, Value, activation, constant
from pulsarray.compiler.ir.window import Window
from pulsarray.compiler.ops.add import Add
from pulsarray.compiler.ops.convolution import Convolution
from pulsarray.compiler.ops.dense import Dense
from pulsarray.compiler.ops.flatten import Flatten
from pulsarray.compiler.ops.images import image
from pulsarray.compiler.ops.matmul import MatMul
from pulsarray.compiler.ops.transposed import TransposedConvolution
from pulsarray.errors import InputError

__all__ = ["convolution", "dense", "depthwise", "rows_times", "transposed"]


def convolution(network: RealNetwork, operator: Operator) -> Value:
    """CONV_2D: weight (N, kh, kw, C / groups)."""
    weight = _weight(network, operator)
    channels = image(network.value(operator).shape)[2]
    if channels % weight.shape[3]:
        raise InputError(f"weight of shape {weight.shape} does not fit {channels} channels")
    return _convolve(network, operator, np.moveaxis(weight, 0, 3), channels // weight.shape[3])


def depthwise(network: RealNetwork, operator: Operator) -> Value:
    """DEPTHWISE_CONV_2D: weight (1, kh, kw, C * multiplier); each channel is a group."""
    weight = _weight(network, operator)
    channels = image(network.value(operator).shape)[2]
    if weight.shape[0] != 1 or weight.shape[3] % channels:
        raise InputError(f"weight of shape {weight.shape} does not fit {channels} channels")
    return _convolve(network, operator, np.moveaxis(weight, 0, 2), channels)


def _weight(network: RealNetwork, operator: Operator) -> Floats:
    weight = network.real_constant(operator, 1, "weight")
    if weight.ndim != 4 or not weight.size:
        raise InputError(f"weight must have 4 dimensions, not shape {weight.shape}")
    return weight


def _bias(network: RealNetwork, operator: Operator, place: int, count: int) -> Floats:
    if not network.has(operator, place):
        return np.zeros(count)
    bias = network.real_constant(operator, place, "bias").reshape(-1)
    if len(bias) != count:
        raise InputError(f"bias must have {count} elements, not {len(bias)}")
    return bias


def _convolve(network: RealNetwork, operator: Operator, weight: Floats, groups: int) -> Value:
    source = network.value(operator)
    dilation = (operator.option("DilationHFactor"), operator.option("DilationWFactor"))
    kernel = (weight.shape[0], weight.shape[1])
    window = window_of(operator, Meaning(source, source.shape), kernel, dilation)
    learned = {"weight": weight, "bias": _bias(network, operator, 2, weight.shape[3])}
    return network.product(operator, Convolution(window, groups), source, learned)


def dense(network: RealNetwork, operator: Operator) -> Value:
    """FULLY_CONNECTED: weight (N, K); of all elements of a sample, or of the last axis of it."""
    if operator.option("WeightsFormat"):
        raise InputError("shuffled weights are not supported")
    source, weight = network.value(operator), network.real_constant(operator, 1, "weight")
    if weight.ndim != 2 or not weight.size:
        raise InputError(f"weight must have 2 dimensions, not shape {weight.shape}")
    count, depth = weight.shape
    bias = _bias(network, operator, 2, count)
    if depth == prod(source.shape) and network.target(operator).shape[:1] == (network.batch,):
        flat = source if len(source.shape) == 1 else network.step(operator, Flatten(), source)
        return network.product(operator, Dense(), flat, {"weight": weight.T, "bias": bias})
    if source.shape[-1:] != (depth,):
        raise InputError(f"weight of shape {weight.shape} does not fit an input of {source.shape}")
    return rows_times(network, operator, source, weight.T.copy(), bias)


def rows_times(
    network: RealNetwork, operator: Operator, source: Value, matrix: Floats, bias: Floats | None
) -> Value:
    """The product of each row along the last axis with a matrix (elements, results), and a bias."""
    made = multiplied(network, operator, source, matrix)
    if made is None and len(source.shape) in (1, 3):
        zeros = np.zeros(matrix.shape[1]) if bias is None else bias
        image = len(source.shape) == 3
        learned = {"weight": matrix[None, None] if image else matrix, "bias": zeros}
        op = Convolution(Window((1, 1))) if image else Dense()
        return network.product(operator, op, source, learned)
    if made is None:
        made = network.product(operator, MatMul(), source, {"weight": matrix})
    if bias is None or not bias.any():
        return made
    held = network.draft.hold(constant(f"{made.name}.bias", bias))
    return network.step(operator, Add(), made, network.draft.values[held])


def transposed(network: RealNetwork, operator: Operator) -> Value:
    """TRANSPOSE_CONV: the result's shape, weight (N, kh, kw, C), input, bias.

    MediaPipe's Convolution2DTransposeBias has input, weight and bias, and the file the shape.
    """
    custom = operator.kind != "TRANSPOSE_CONV"
    weight, source = _weight(network, operator), network.value(operator, 0 if custom else 2)
    wanted = [*network.target(operator).shape] if custom else network.integers(operator, 0, "shape")
    height, width, channels = image(source.shape)
    if weight.shape[3] != channels:
        raise InputError(f"weight of shape {weight.shape} does not fit {channels} channels")
    if len(wanted) != 4 or wanted[3] != weight.shape[0] or min(wanted[1:3]) < 1:
        raise InputError(f"result's shape {wanted} does not fit a weight of {weight.shape}")
    shape = (wanted[1], wanted[2], wanted[3])
    # Padding is that of the convolution from the result back to the input.
    back = window_of(operator, Meaning(activation("", shape), shape), weight.shape[1:3])
    if back.output(*shape[:2]) != (height, width):
        raise InputError(f"result of {shape} does not fit an input of {source.shape}")
    cut, more = list(back.padding), [0, 0]
    for axis, size in enumerate((height, width)):
        full = (size - 1) * back.stride[axis] + back.kernel[axis]
        missing = shape[axis] - (full - cut[axis])
        cut[axis + 2], more[axis] = max(-missing, 0), max(missing, 0)
    window = Window(back.kernel, back.stride, (cut[0], cut[1], cut[2], cut[3]))
    op = TransposedConvolution(window, (more[0], more[1]))
    bias = _bias(network, operator, 2 if custom else 3, shape[2])
    learned = {"weight": np.moveaxis(weight, 0, 3), "bias": bias}
    return network.product(operator, op, source, learned)
