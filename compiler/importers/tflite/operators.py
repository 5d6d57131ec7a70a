"""What each TensorFlow Lite operator becomes: one function an operator, called in their order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import prod

import numpy as np

from pulsarray.compiler.importers.tflite.choices import CHOICES
from pulsarray.compiler.importers.tflite.file import Operator, Tensor
from pulsarray.compiler.importers.tflite.functions import FUNCTIONS, function
from pulsarray.compiler.importers.tflite.layout import reshape, transpose
from pulsarray.compiler.importers.tflite.matrices import batch_matmul
from pulsarray.compiler.importers.tflite.moving import choose, concatenation, pack, pad
from pulsarray.compiler.importers.tflite.network import (
    HOSTED,
    Meaning,
    Network,
    host_codes,
    map_shape,
)
from pulsarray.compiler.importers.tflite.normalize import normalize
from pulsarray.compiler.importers.tflite.pairs import (
    add,
    larger,
    multiply,
    prelu,
    smaller,
    squared_difference,
    subtract,
)
from pulsarray.compiler.importers.tflite.products import convolution, dense, depthwise, transposed
from pulsarray.compiler.importers.tflite.scales import (
    check_sums,
    code_of,
    tflite_scale,
)
from pulsarray.compiler.importers.tflite.sizes import (
    depth_to_space,
    extreme,
    resize,
    space_to_depth,
)
from pulsarray.compiler.importers.tflite.softmax import log_softmax, softmax
from pulsarray.compiler.importers.tflite.windows import (
    average_pool,
    max_pool,
    total,
)
from pulsarray.compiler.ir.value import Value
from pulsarray.compiler.ops.integer import Elementwise
from pulsarray.compiler.ops.integer.codes import HIGH, LOW
from pulsarray.compiler.ops.integer.scale import Scale
from pulsarray.errors import InputError

__all__ = ["OPERATORS", "SEVERAL", "keeps_codes"]


def _softmax(network: Network, operator: Operator) -> None:
    """By the host where nothing but it comes after, else by the machine."""
    value, result = network.value(operator), network.target(operator)
    vector = value.shape[:2] == value.source.shape[:2] == (1, 1)
    by_host = vector and network.is_end(result)
    if not value.host and result.kind == "int8" and not by_host:
        softmax(network, operator)
        return
    if value.host in HOSTED:
        raise InputError(f"{HOSTED[value.host]} is only possible as the last operator")
    if not vector or operator.options.get("Beta") != 1.0:
        raise InputError(
            f"needs a vector and a beta of 1, not shape {value.source.shape} and "
            f"{operator.options.get('Beta')}"
        )
    answer = host_codes(result) if result.kind == "int8" else None
    network.values[result.index] = replace(value, host="softmax", answer=answer)


def _index(network: Network, operator: Operator) -> None:
    """ARG_MAX, ARG_MIN along the last axis: by the host."""
    value, tensor = network.settled(operator), network.target(operator)
    numbers = network.tensor(operator, 1)
    axis = network.constant(operator, 1, numbers.kind if numbers else "int32").reshape(-1)
    if network.place(operator, int(axis[0])) != 2 or tensor.kind not in ("int32", "int64"):
        raise InputError("must be along the last axis, with a result of integers")
    shape = map_shape(tensor, network.batch)
    if prod(shape) != prod(value.shape[:2]):
        raise InputError(f"result must be one of each of {value.shape[:2]}, not {shape}")
    host = operator.kind.replace("_", "").lower()
    network.values[tensor.index] = Meaning(value.source, shape, host=host)


def keeps_codes(source: Tensor, result: Tensor) -> bool:
    """Whether QUANTIZE from or to uint8 only moves codes by 128."""
    sizes = {len(part) for tensor in (source, result) for part in (tensor.scales, tensor.zeros)}
    if {source.kind, result.kind} != {"int8", "uint8"} or sizes != {1}:
        return False
    zeros = [int(tensor.zeros[0]) - 128 * (tensor.kind == "uint8") for tensor in (source, result)]
    return zeros[0] == zeros[1] and float(source.scales[0]) == float(result.scales[0])


def _quantize(network: Network, operator: Operator) -> None:
    value, tensor, source = network.value(operator), network.target(operator), operator.inputs[0]
    assert source is not None
    if value.host in HOSTED and value.host != "softmax":
        raise InputError(f"{HOSTED[value.host]} is only possible as the last operator")
    if value.host == "softmax" and not keeps_codes(network.file.tensors[source], tensor):
        if value.answer is not None:
            raise InputError("codes of a SOFTMAX cannot be rounded again")
        value = replace(value, answer=host_codes(tensor))
        network.values[tensor.index] = value
        return
    if value.host == "softmax" or keeps_codes(network.file.tensors[source], tensor):
        network.values[tensor.index] = replace(value, host=value.host or "real")
        return
    value = network.plain(operator)
    target = network.alike(operator, value)
    ratio = value.source.codes.scale / target.codes.scale
    _rescale(network, operator, value, target, ratio, LOW)


def _dequantize(network: Network, operator: Operator) -> None:
    value = network.value(operator)
    if network.target(operator).kind != "float32" or value.host == "real":
        raise InputError("must be from int8 to float32")
    source = operator.inputs[0]
    if source is not None and not value.host:
        value = network.with_border(network.file.tensors[source], value)
    network.values[operator.outputs[0]] = replace(value, host=value.host or "real")


def _clip(smallest: float | None, largest: float | None) -> Callable[[Network, Operator], None]:
    def handle(network: Network, operator: Operator) -> None:
        value = network.plain(operator)
        target = network.alike(operator, value)
        # The kernel divides scales in float32, and limits are those of the result.
        with np.errstate(all="ignore"):
            scales = np.array([value.source.codes.scale, target.codes.scale], np.float32)
            ratio = float(scales[0] / scales[1])
        low = LOW if smallest is None else code_of(smallest, target.codes)
        high = HIGH if largest is None else code_of(largest, target.codes)
        _rescale(network, operator, value, target, ratio, low, high)

    return handle


def _rescale(
    network: Network,
    operator: Operator,
    value: Meaning,
    target: Value,
    ratio: float,
    low: int,
    high: int = HIGH,
) -> None:
    scale = tflite_scale([ratio], target.codes, (low, high))
    check_sums(np.array([255]), scale)
    _elementwise(network, operator, value, target, scale)


def _elementwise(
    network: Network, operator: Operator, value: Meaning, target: Value, scale: Scale
) -> None:
    network.add(operator, Elementwise(scale), [value.source], target, value.shape)


SEVERAL = frozenset(("SPLIT", "SPLIT_V", "UNPACK"))
"""Operators that may have several results."""

OPERATORS: dict[str, Callable[[Network, Operator], None]] = {
    "ARG_MAX": _index,
    "ARG_MIN": _index,
    **dict.fromkeys(FUNCTIONS, function),
    **dict.fromkeys(CHOICES, choose),
    "ADD": add,
    "AVERAGE_POOL_2D": average_pool,
    "BATCH_MATMUL": batch_matmul,
    "CONCATENATION": concatenation,
    "CONV_2D": convolution,
    "DEPTHWISE_CONV_2D": depthwise,
    "DEPTH_TO_SPACE": depth_to_space,
    "DEQUANTIZE": _dequantize,
    "EXPAND_DIMS": reshape,
    "FULLY_CONNECTED": dense,
    "L2_NORMALIZATION": normalize,
    "LOG_SOFTMAX": log_softmax,
    "MAXIMUM": larger,
    "MAX_POOL_2D": max_pool,
    "MEAN": total,
    "MINIMUM": smaller,
    "MUL": multiply,
    "PACK": pack,
    "PAD": pad,
    "PADV2": pad,
    "PRELU": prelu,
    "QUANTIZE": _quantize,
    "REDUCE_MAX": extreme,
    "REDUCE_MIN": extreme,
    "RELU": _clip(0.0, None),
    "RELU6": _clip(0.0, 6.0),
    "RELU_N1_TO_1": _clip(-1.0, 1.0),
    "RESHAPE": reshape,
    "RESIZE_BILINEAR": resize,
    "RESIZE_NEAREST_NEIGHBOR": resize,
    "SOFTMAX": _softmax,
    "SPACE_TO_DEPTH": space_to_depth,
    "SQUARED_DIFFERENCE": squared_difference,
    "SQUEEZE": reshape,
    "SUB": subtract,
    "SUM": total,
    "TRANSPOSE": transpose,
    "TRANSPOSE_CONV": transposed,
}
