"""What each operator of a TensorFlow Lite file in floating point becomes: one table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod

import numpy as np

from pulsarray.compiler.importers.tflite.choices import CHOICES
from pulsarray.compiler.importers.tflite.file import Operator
from pulsarray.compiler.importers.tflite.network import Meaning
from pulsarray.compiler.importers.tflite.real_composed import (
    COMPOSED,
    added,
    composed,
    cumulative,
    log_softmax,
    normalized,
    power,
    reduced,
    response,
)
from pulsarray.compiler.importers.tflite.real_frames import gather, multiplied
from pulsarray.compiler.importers.tflite.real_moving import (
    choose,
    depth_to_space,
    pad,
    resize,
    space_to_depth,
)
from pulsarray.compiler.importers.tflite.real_network import RealNetwork
from pulsarray.compiler.importers.tflite.real_products import (
    convolution,
    dense,
    depthwise,
    transposed,
)
from pulsarray.compiler.importers.tflite.real_spectrum import (
    cast,
    imaginary,
    magnitude,
    real_part,
    spectrum,
)
from pulsarray.compiler.importers.tflite.windows import window_of
from pulsarray.compiler.ir.operator import Operator as Op
from pulsarray.compiler.ir.value import Value, constant
from pulsarray.compiler.ops.add import Add
from pulsarray.compiler.ops.clip import Clip
from pulsarray.compiler.ops.concat import Concat
from pulsarray.compiler.ops.divide import Divide
from pulsarray.compiler.ops.elu import Elu
from pulsarray.compiler.ops.exp import Exp
from pulsarray.compiler.ops.gelu import Gelu
from pulsarray.compiler.ops.hard_sigmoid import HardSwish
from pulsarray.compiler.ops.images import image
from pulsarray.compiler.ops.layout import Transpose
from pulsarray.compiler.ops.leaky_relu import LeakyRelu
from pulsarray.compiler.ops.log import Log
from pulsarray.compiler.ops.matmul import MatMul
from pulsarray.compiler.ops.maximum import Maximum
from pulsarray.compiler.ops.minimum import Minimum
from pulsarray.compiler.ops.multiply import Multiply
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

Handler = Callable[[RealNetwork, Operator], Value | Sequence[Value]]
"""From an operator to its result, or all of them, or real and imaginary part of it."""


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
    made = REAL_OPERATORS[operator.kind](network, operator)
    values = [made] if isinstance(made, Value) else [*made]
    fused = operator.option("FusedActivationFunction")
    if fused and fused not in _FUSED:
        raise InputError(f"fused activation {fused} is not supported")
    if fused:
        values = [network.step(operator, _FUSED[fused], value) for value in values]
    if network.target(operator).kind == "complex64":
        _define_complex(network, operator, values)
        return
    for place, value in enumerate(values):
        network.define(operator, value, place)


def _define_complex(network: RealNetwork, operator: Operator, values: Sequence[Value]) -> None:
    """Let real and imaginary parts stand for a result; what moves one, moves the other."""
    if len(values) == 1:
        source = network.tensor(operator, 0).index
        if operator.kind not in _MOVES or source not in network.imaginary:
            raise InputError("complex numbers are only supported where they are moved")
        kept = network.names[source]
        network.names[source] = network.imaginary[source]
        other = REAL_OPERATORS[operator.kind](network, operator)
        network.names[source] = kept
        assert isinstance(other, Value)
        values = [values[0], other]
    index = network.target(operator).index
    network.define(operator, values[1])
    network.imaginary[index] = network.names[index]
    network.define(operator, values[0])


def _convert(network: RealNetwork, operator: Operator) -> None:
    """DEQUANTIZE, DENSIFY: weights in fewer bits, or without those that are 0."""
    if not network.is_constant(network.tensor(operator, 0)):
        raise InputError("only constants can be in another type than float32 in a file of float32")
    made = network.real_constant(operator, 0, "input")
    network.reals[network.target(operator).index] = made


def _function(op: Op) -> Handler:
    """A function of one value."""
    return lambda network, operator: network.step(operator, op, network.value(operator))


def _binary(op: Op) -> Callable[[RealNetwork, Operator], Value]:
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


def _multiply(network: RealNetwork, operator: Operator) -> Value:
    """MUL; by one number an element of frames it changes what multiplies these."""
    for place in (0, 1):
        if network.is_constant(network.tensor(operator, place)):
            value, factor = network.value(operator, 1 - place), network.operand(operator, place)
            if factor.shape in ((), (1,), value.shape[-1:]) and value.name in network.frames:
                row = np.broadcast_to(factor.array.reshape(-1), value.shape[-1:])
                made = multiplied(network, operator, value, row)
                if made is not None:
                    return made
    return _binary(Multiply())(network, operator)


def _reshape(network: RealNetwork, operator: Operator) -> Value:
    """RESHAPE, SQUEEZE, EXPAND_DIMS: the same elements in the shape that the file says."""
    sizes = network.sample_shape(network.target(operator))
    return network.shaped(operator, network.value(operator), sizes)


def _transpose(network: RealNetwork, operator: Operator) -> Value:
    """TRANSPOSE; an axis of one sample may be anywhere."""
    value, order = network.value(operator), network.integers(operator, 1, "order")
    tensor = network.tensor(operator, 0)
    rank, kept = len(tensor.shape), len(value.shape)
    if sorted(order) != [*range(rank)]:
        raise InputError(f"order {order} is none of {rank} axes")
    if order[:1] != [0] and (network.batch > 1 or tensor.is_open):
        raise InputError(f"the batch must stay the first axis, not with an order of {order}")
    axes = [axis - rank + kept for axis in order if axis >= rank - kept]
    moved = [axis for axis in axes if value.shape[axis] > 1]
    if moved == sorted(moved):
        return network.shaped(operator, value, tuple(value.shape[axis] for axis in axes))
    return network.step(operator, Transpose(tuple(axes)), value)


def _concat(network: RealNetwork, operator: Operator) -> Value:
    """CONCATENATION along any axis but the batch."""
    target = network.target(operator)
    axis = network.axis(target, operator.option("Axis"))
    return _joined(network, operator, axis, None)


def _pack(network: RealNetwork, operator: Operator) -> Value:
    """PACK: values side by side along a new axis."""
    target = network.target(operator)
    return _joined(network, operator, network.axis(target, operator.option("Axis")), 1)


def _joined(network: RealNetwork, operator: Operator, axis: int, size: int | None) -> Value:
    """Values side by side along an axis, of so many elements each, or as many as they have."""
    sizes, values = network.sample_shape(network.target(operator)), []
    for place in range(len(operator.inputs)):
        value = network.value(operator, place)
        rank = len(sizes)
        full = (*[1] * (rank - len(value.shape)), *value.shape) if size is None else sizes
        part = [*full[len(full) - rank :]]
        part[axis] = part[axis] if size is None else size
        values.append(network.shaped(operator, value, tuple(part)))
    return network.step(operator, Concat(axis), *values) if len(values) > 1 else values[0]


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
    return lambda network, operator: network.step(
        operator, network.reduction(operator, kind), network.value(operator)
    )


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
_MOVES = frozenset(("RESHAPE", "SQUEEZE", "EXPAND_DIMS", "TRANSPOSE"))
REAL_OPERATORS: Mapping[str, Handler] = {
    **dict.fromkeys(CHOICES, choose),
    **dict.fromkeys(COMPOSED, composed),
    "ABS": _function(Absolute()),
    "ADD": _binary(Add()),
    "ADD_N": added,
    "AVERAGE_POOL_2D": _pool(AveragePool),
    "BATCH_MATMUL": _matmul,
    "CAST": cast,
    "CEIL": _function(Ceil()),
    "COMPLEX_ABS": magnitude,
    "CONCATENATION": _concat,
    "CONV_2D": convolution,
    "COS": _function(Cos()),
    "CUMSUM": cumulative,
    "DEPTHWISE_CONV_2D": depthwise,
    "CUSTOM 'Convolution2DTransposeBias'": transposed,
    "DEPTH_TO_SPACE": depth_to_space,
    "DIV": _divide,
    "ELU": _function(Elu()),
    "EXP": _function(Exp()),
    "EXPAND_DIMS": _reshape,
    "FLOOR": _function(Floor()),
    "FULLY_CONNECTED": dense,
    "GATHER": gather,
    "GELU": _gelu,
    "HARD_SWISH": _function(HardSwish()),
    "IMAG": imaginary,
    "L2_NORMALIZATION": normalized,
    "LEAKY_RELU": _leaky,
    "LOG": _function(Log()),
    "LOCAL_RESPONSE_NORMALIZATION": response,
    "LOGISTIC": _function(Sigmoid()),
    "LOG_SOFTMAX": log_softmax,
    "MAXIMUM": _limit(Maximum(), lambda limit: Clip(low=limit)),
    "MAX_POOL_2D": _pool(MaxPool),
    "MEAN": _reduce(ReduceMean),
    "MINIMUM": _limit(Minimum(), lambda limit: Clip(high=limit)),
    "MUL": _multiply,
    "NEG": _function(Negate()),
    "PACK": _pack,
    "PAD": pad,
    "PADV2": pad,
    "POW": power,
    "PRELU": _prelu,
    "REAL": real_part,
    "REDUCE_ALL": reduced,
    "REDUCE_ANY": _reduce(ReduceMax),
    "REDUCE_MAX": _reduce(ReduceMax),
    "REDUCE_MIN": reduced,
    "RELU": _function(Relu()),
    "RELU6": _function(_RELU6),
    "RELU_0_TO_1": _function(_RELU_0_TO_1),
    "RELU_N1_TO_1": _function(_RELU_N1_TO_1),
    "RESHAPE": _reshape,
    "RESIZE_BILINEAR": resize,
    "RESIZE_NEAREST_NEIGHBOR": resize,
    "RFFT2D": spectrum,
    "ROUND": _function(Round()),
    "RSQRT": _function(ReciprocalRoot()),
    "SIGN": _function(Sign()),
    "SIN": _function(Sin()),
    "SOFTMAX": _softmax,
    "SPACE_TO_DEPTH": space_to_depth,
    "SQRT": _function(Root()),
    "SQUARE": _function(Square()),
    "SQUARED_DIFFERENCE": _squared_difference,
    "SQUEEZE": _reshape,
    "SUB": _binary(Subtract()),
    "SUM": _reduce(ReduceSum),
    "TANH": _function(Tanh()),
    "TRANSPOSE": _transpose,
    "TRANSPOSE_CONV": transposed,
}
"""What each operator becomes."""

TAKEN = frozenset({*REAL_OPERATORS, *_CONVERSIONS})
"""All operators that files in floating point may have."""
