"""What each operator of a TensorFlow Lite file in floating point becomes: one table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod

import numpy as np

from pulsarray.compiler.importers.tflite.file import Operator
from pulsarray.compiler.importers.tflite.network import Meaning
from pulsarray.compiler.importers.tflite.real_moving import (
    depth_to_space,
    mirror_pad,
    resize,
    slice_of,
    space_to_depth,
)
from pulsarray.compiler.importers.tflite.real_network import RealNetwork
from pulsarray.compiler.importers.tflite.real_products import (
    convolution,
    dense,
    depthwise,
    transposed,
)
from pulsarray.compiler.importers.tflite.windows import window_of
from pulsarray.compiler.ir.operator import Operator as Op
from pulsarray.compiler.ir.value import Value, constant
from pulsarray.compiler.ir.window import Window
from pulsarray.compiler.ops.add import Add
from pulsarray.compiler.ops.clip import Clip
from pulsarray.compiler.ops.concat import Concat
from pulsarray.compiler.ops.convolution import Convolution
from pulsarray.compiler.ops.divide import Divide
from pulsarray.compiler.ops.elu import Elu
from pulsarray.compiler.ops.exp import Exp
from pulsarray.compiler.ops.flatten import Flatten
from pulsarray.compiler.ops.gelu import Gelu
from pulsarray.compiler.ops.hard_sigmoid import HardSwish
from pulsarray.compiler.ops.images import image
from pulsarray.compiler.ops.layout import Reshape, Transpose
from pulsarray.compiler.ops.leaky_relu import LeakyRelu
from pulsarray.compiler.ops.log import Log
from pulsarray.compiler.ops.matmul import MatMul
from pulsarray.compiler.ops.maximum import Maximum
from pulsarray.compiler.ops.minimum import Minimum
from pulsarray.compiler.ops.multiply import Multiply
from pulsarray.compiler.ops.pad import Pad
from pulsarray.compiler.ops.pooling import AveragePool, MaxPool
from pulsarray.compiler.ops.power import Root
from pulsarray.compiler.ops.prelu import PRelu
from pulsarray.compiler.ops.reciprocal_root import ReciprocalRoot
from pulsarray.compiler.ops.reduction import ReduceMax, ReduceMean, ReduceSum
from pulsarray.compiler.ops.relu import Relu
from pulsarray.compiler.ops.sigmoid import Sigmoid
from pulsarray.compiler.ops.sign import Absolute, Negate, Sign
from pulsarray.compiler.ops.softmax import Softmax
from pulsarray.compiler.ops.square import Square
from pulsarray.compiler.ops.subtract import Subtract
from pulsarray.compiler.ops.tanh import Tanh
from pulsarray.compiler.ops.trigonometric import Cos, Sin
from pulsarray.compiler.ops.whole import Ceil, Floor, Round
from pulsarray.errors import InputError

__all__ = ["REAL_OPERATORS", "TAKEN", "import_operator"]

_RELU6, _RELU_N1_TO_1, _RELU_0_TO_1 = Clip(0.0, 6.0), Clip(-1.0, 1.0), Clip(0.0, 1.0)
_FUSED: Mapping[int, Op] = {1: Relu(), 2: _RELU_N1_TO_1, 3: _RELU6, 4: Tanh()}
"""Fused activations by their numbers in the schema; 0 is none."""

Handler = Callable[[RealNetwork, Operator], Value]


def import_operator(network: RealNetwork, operator: Operator) -> None:
    """Put what an operator becomes at the end of the network.

    Raises
    ------
    InputError
        If something of it is not supported; the text does not name it.
    """
    if operator.kind in _CONVERSIONS:
        _convert(network, operator)
        return
    value = REAL_OPERATORS[operator.kind](network, operator)
    fused = operator.option("FusedActivationFunction")
    if fused and fused not in _FUSED:
        raise InputError(f"fused activation {fused} is not supported")
    if fused:
        value = network.step(operator, _FUSED[fused], value)
    network.define(operator, value)


def _convert(network: RealNetwork, operator: Operator) -> None:
    """DEQUANTIZE, DENSIFY: weights in fewer bits, or without those that are 0."""
    if not network.is_constant(network.tensor(operator, 0)):
        raise InputError("only constants can be in another type than float32 in a file of float32")
    made = network.real_constant(operator, 0, "input")
    network.reals[network.target(operator).index] = made


def _function(op: Op) -> Handler:
    """A function of one value."""
    return lambda network, operator: network.step(operator, op, network.value(operator))


def _binary(op: Op) -> Handler:
    """A function of two values, each of which may be a constant."""

    def handle(network: RealNetwork, operator: Operator) -> Value:
        values = [network.operand(operator, place) for place in (0, 1)]
        ranks = {len(v.shape) for v in values if not v.role.is_constant}
        if network.batch > 1 and len(ranks) > 1:
            raise InputError("inputs of several samples must have as many dimensions")
        return network.step(operator, op, *values)

    return handle


def _limit(op: Op, limits: Callable[[float], Clip]) -> Handler:
    """A maximum or minimum, with one number a limit."""

    def handle(network: RealNetwork, operator: Operator) -> Value:
        for place in (0, 1):
            if network.is_constant(network.tensor(operator, place)):
                number = network.real_constant(operator, place, "input")
                if number.size == 1:
                    value = network.value(operator, 1 - place)
                    return network.step(operator, limits(float(number.reshape(-1)[0])), value)
        return _binary(op)(network, operator)

    return handle


def _divide(network: RealNetwork, operator: Operator) -> Value:
    """DIV: by a constant a product."""
    if not network.is_constant(network.tensor(operator, 1)):
        return _binary(Divide())(network, operator)
    divisor = network.operand(operator, 1)
    if not divisor.array.all():
        raise InputError("must be by a constant other than 0")
    factor = constant(f"{divisor.name}.reciprocal", 1.0 / divisor.array)
    held = network.draft.values[network.draft.hold(factor)]
    return network.step(operator, Multiply(), network.value(operator), held)


def _squared_difference(network: RealNetwork, operator: Operator) -> Value:
    """SQUARED_DIFFERENCE."""
    return network.step(operator, Square(), _binary(Subtract())(network, operator))


def _reshape(network: RealNetwork, operator: Operator) -> Value:
    """RESHAPE, SQUEEZE, EXPAND_DIMS: the same elements in the shape that the file says."""
    value, sizes = network.value(operator), network.sample_shape(network.target(operator))
    if value.shape == sizes:
        return value
    return network.step(operator, Flatten() if len(sizes) == 1 else Reshape(sizes), value)


def _axes(axes: Sequence[int], rank: int) -> list[int]:
    """Axes of a tensor as those of a sample, counted from 0.

    Raises
    ------
    InputError
        If one does not exist or is the batch.
    """
    if any(not -rank <= axis < rank or axis % rank == 0 for axis in axes):
        raise InputError(f"axes {[*axes]} must be ones of 1 .. {rank - 1}, not the batch")
    return [axis % rank - 1 for axis in axes]


def _transpose(network: RealNetwork, operator: Operator) -> Value:
    """TRANSPOSE, whose first axis stays."""
    value, order = network.value(operator), network.integers(operator, 1, "order")
    if order[:1] != [0]:
        raise InputError(f"the batch must stay the first axis, not with an order of {order}")
    return network.step(operator, Transpose(tuple(axis - 1 for axis in order[1:])), value)


def _concat(network: RealNetwork, operator: Operator) -> Value:
    """CONCATENATION along any axis but the batch."""
    values = [network.value(operator, place) for place in range(len(operator.inputs))]
    rank = len(values[0].shape) if values else 0
    (axis,) = _axes([operator.option("Axis")], rank + 1)
    return network.step(operator, Concat(axis - rank), *values)


def _pad(network: RealNetwork, operator: Operator) -> Value:
    """PAD with zeros; channels of zeros are made by a product, which has them for free."""
    value, sides = network.value(operator), network.integers(operator, 1, "padding")
    if network.has(operator, 2) and network.real_constant(operator, 2, "value").any():
        raise InputError("must be with zeros")
    rank = len(value.shape) + 1
    pairs = [*zip(sides[::2], sides[1::2], strict=False)]
    if len(sides) != 2 * rank or min(sides) < 0 or any(pairs[0]):
        raise InputError(f"padding must be of a sample's axes, not {sides}")
    if rank == 2 or (rank > 4 and any(side for pair in pairs[:-3] for side in pair)):
        raise InputError(f"must be of maps, not of shape {value.shape}")
    return _padded(network, operator, value, [(0, 0), *pairs[1:]][-3:])


def _padded(
    network: RealNetwork, operator: Operator, value: Value, pairs: Sequence[tuple[int, int]]
) -> Value:
    (top, bottom), (left, right), (before, after) = pairs
    height, width, channels = (1, *value.shape)[-3:]
    if len(value.shape) != 3:
        value = network.step(operator, Reshape((height, width, channels)), value)
    if top or bottom or left or right:
        value = network.step(operator, Pad((top, left, bottom, right)), value)
    if before or after:
        network.spend(channels * (channels + before + after))
        weight = np.pad(np.eye(channels), ((0, 0), (before, after)))[None, None]
        learned = {"weight": weight, "bias": np.zeros(weight.shape[3])}
        value = network.product(operator, Convolution(Window((1, 1))), value, learned)
    sizes = network.sample_shape(network.target(operator))
    return value if len(sizes) == 3 else network.step(operator, Reshape(sizes), value)


def _pool(kind: type[MaxPool | AveragePool]) -> Handler:
    """The largest or the mean of each window, where padding does not count."""

    def handle(network: RealNetwork, operator: Operator) -> Value:
        value = network.value(operator)
        image(value.shape)
        kernel = (operator.option("FilterHeight"), operator.option("FilterWidth"))
        window = window_of(operator, Meaning(value, value.shape), kernel)
        return network.step(operator, kind(window), value)

    return handle


def _reduce(kind: type[ReduceMax | ReduceMean | ReduceSum]) -> Handler:
    """The sum, mean or largest along axes."""

    def handle(network: RealNetwork, operator: Operator) -> Value:
        value = network.value(operator)
        rank = len(value.shape)
        axes = _axes(network.integers(operator, 1, "axes"), rank + 1)
        op = kind(tuple(axis - rank for axis in axes), bool(operator.option("KeepDims")))
        return network.step(operator, op, value)

    return handle


def _softmax(network: RealNetwork, operator: Operator) -> Value:
    """SOFTMAX along the last axis; another beta than 1 is a factor before it."""
    value, beta = network.value(operator), operator.options.get("Beta", 1.0)
    if not np.isfinite(beta):
        raise InputError(f"beta must be finite, not {beta}")
    if beta != 1.0:
        name = f"{network.target(operator).name}.beta"
        held = network.draft.hold(constant(name, np.array([beta])))
        value = network.step(operator, Multiply(), value, network.draft.values[held])
    return network.step(operator, Softmax(), value)


def _gelu(network: RealNetwork, operator: Operator) -> Value:
    """GELU in either form."""
    op = Gelu(bool(operator.option("Approximate")))
    return network.step(operator, op, network.value(operator))


def _leaky(network: RealNetwork, operator: Operator) -> Value:
    """LEAKY_RELU."""
    alpha = float(operator.options.get("Alpha", 0.0))
    if not np.isfinite(alpha):
        raise InputError(f"alpha must be finite, not {alpha}")
    return network.step(operator, LeakyRelu(alpha), network.value(operator))


def _prelu(network: RealNetwork, operator: Operator) -> Value:
    """PRELU, one slope or one a channel."""
    value, slope = network.value(operator), network.real_constant(operator, 1, "slope")
    count = value.shape[-1] if value.shape else 0
    if slope.size not in (1, count) or (slope.size > 1 and slope.shape[-1] != count):
        raise InputError(f"needs one slope a channel, not slopes of shape {slope.shape}")
    name = f"{network.target(operator).name}.slope"
    data = np.broadcast_to(slope.reshape(-1), (count,)).copy()
    held = network.draft.hold(constant(name, data))
    return network.step(operator, PRelu(), value, network.draft.values[held])


def _matmul(network: RealNetwork, operator: Operator) -> Value:
    """BATCH_MATMUL of two values, or with a constant matrix."""
    values = [network.operand(operator, place) for place in (0, 1)]
    if any(len(value.shape) < 2 for value in values) or prod(values[1].shape) < 1:
        raise InputError("needs matrices of each sample")
    op = MatMul(bool(operator.option("AdjX")), bool(operator.option("AdjY")))
    return network.step(operator, op, *values)


_CONVERSIONS = ("DENSIFY", "DEQUANTIZE")
REAL_OPERATORS: Mapping[str, Handler] = {
    "ABS": _function(Absolute()),
    "ADD": _binary(Add()),
    "AVERAGE_POOL_2D": _pool(AveragePool),
    "BATCH_MATMUL": _matmul,
    "CEIL": _function(Ceil()),
    "CONCATENATION": _concat,
    "CONV_2D": convolution,
    "COS": _function(Cos()),
    "DEPTHWISE_CONV_2D": depthwise,
    "CUSTOM 'Convolution2DTransposeBias'": transposed,
    "DEPTH_TO_SPACE": depth_to_space,
    "DIV": _divide,
    "ELU": _function(Elu()),
    "EXP": _function(Exp()),
    "EXPAND_DIMS": _reshape,
    "FLOOR": _function(Floor()),
    "FULLY_CONNECTED": dense,
    "GELU": _gelu,
    "HARD_SWISH": _function(HardSwish()),
    "LEAKY_RELU": _leaky,
    "LOG": _function(Log()),
    "LOGISTIC": _function(Sigmoid()),
    "MAXIMUM": _limit(Maximum(), lambda limit: Clip(low=limit)),
    "MAX_POOL_2D": _pool(MaxPool),
    "MEAN": _reduce(ReduceMean),
    "MINIMUM": _limit(Minimum(), lambda limit: Clip(high=limit)),
    "MIRROR_PAD": mirror_pad,
    "MUL": _binary(Multiply()),
    "NEG": _function(Negate()),
    "PAD": _pad,
    "PADV2": _pad,
    "PRELU": _prelu,
    "REDUCE_MAX": _reduce(ReduceMax),
    "RELU": _function(Relu()),
    "RELU6": _function(_RELU6),
    "RELU_0_TO_1": _function(_RELU_0_TO_1),
    "RELU_N1_TO_1": _function(_RELU_N1_TO_1),
    "RESHAPE": _reshape,
    "RESIZE_BILINEAR": resize,
    "RESIZE_NEAREST_NEIGHBOR": resize,
    "ROUND": _function(Round()),
    "RSQRT": _function(ReciprocalRoot()),
    "SIGN": _function(Sign()),
    "SIN": _function(Sin()),
    "SLICE": slice_of,
    "SOFTMAX": _softmax,
    "SPACE_TO_DEPTH": space_to_depth,
    "SQRT": _function(Root()),
    "SQUARE": _function(Square()),
    "SQUARED_DIFFERENCE": _squared_difference,
    "SQUEEZE": _reshape,
    "STRIDED_SLICE": slice_of,
    "SUB": _binary(Subtract()),
    "SUM": _reduce(ReduceSum),
    "TANH": _function(Tanh()),
    "TRANSPOSE": _transpose,
    "TRANSPOSE_CONV": transposed,
}
"""What each operator becomes."""

TAKEN = frozenset({*REAL_OPERATORS, *_CONVERSIONS})
"""All operators that files in floating point may have."""
