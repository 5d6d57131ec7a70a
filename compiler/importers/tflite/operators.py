"""What each TensorFlow Lite operator becomes: one function an operator, called in their order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from pulsarray.compiler.importers.tflite.file import Operator, Tensor
from pulsarray.compiler.importers.tflite.functions import FUNCTIONS, function
from pulsarray.compiler.importers.tflite.layout import reshape, same_codes, transpose
from pulsarray.compiler.importers.tflite.matrices import batch_matmul
from pulsarray.compiler.importers.tflite.network import (
    Meaning,
    Network,
    map_shape,
    quantization,
)
from pulsarray.compiler.importers.tflite.pairs import (
    add,
    larger,
    multiply,
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
from pulsarray.compiler.importers.tflite.softmax import softmax
from pulsarray.compiler.importers.tflite.windows import (
    average_pool,
    max_pool,
    mean,
    same_quantization,
)
from pulsarray.compiler.ir.formats import Affine8
from pulsarray.compiler.ir.value import Value
from pulsarray.compiler.ops.integer import Concat, Elementwise
from pulsarray.compiler.ops.integer.codes import HIGH, LOW
from pulsarray.compiler.ops.integer.scale import Scale
from pulsarray.errors import InputError

__all__ = ["OPERATORS", "keeps_codes"]


def _concat(network: Network, operator: Operator) -> None:
    if operator.option("FusedActivationFunction"):
        raise InputError("a fused activation is not supported")
    tensor = network.target(operator)
    if operator.option("Axis") not in (-1, len(tensor.shape) - 1):
        raise InputError(f"must be along the channels, not axis {operator.option('Axis')}")
    given = [network.image(operator, place) for place in range(len(operator.inputs))]
    if not given or any(source.shape[:2] != given[0].shape[:2] for source in given):
        raise InputError(f"inputs must differ in channels only, not {[s.shape for s in given]}")
    height, width = given[0].shape[:2]
    shape = (height, width, sum(source.shape[2] for source in given))
    target = network.result(operator, shape)
    for source in given:
        same_quantization(source.codes, target.codes)
    network.add(operator, Concat(), given, target, shape)


def _pad(network: Network, operator: Operator) -> None:
    tensor = network.tensor(operator, 1)
    border = network.constant(operator, 1, tensor.kind if tensor else "int32")
    value = network.bordered(operator)
    if border.shape != (4, 2) or border[[0, 3]].any() or int(border.min()) < 0:
        raise InputError(f"padding must be of rows and columns only, not {border.tolist()}")
    (top, bottom), (left, right) = border[1].tolist(), border[2].tolist()
    height, width, channels = value.shape
    shape = (height + top + bottom, width + left + right, channels)
    if (found := map_shape(network.target(operator), network.batch)) != shape:
        raise InputError(f"result must have shape (H, W, C) = {shape}, not {found}")
    old = value.padding
    whole = (old[0] + top, old[1] + left, old[2] + bottom, old[3] + right)
    same_codes(value.source.codes, network.target(operator))
    network.values[operator.outputs[0]] = Meaning(value.source, shape, whole)


def _softmax(network: Network, operator: Operator) -> None:
    """By the host where nothing but it comes after, else by the machine."""
    value, result = network.value(operator), network.target(operator)
    if not value.host and result.kind == "int8" and not network.is_end(result):
        softmax(network, operator)
        return
    if value.host == "softmax":
        raise InputError("SOFTMAX is only possible as the last operator")
    if value.source.shape[:2] != (1, 1) or operator.options.get("Beta") != 1.0:
        raise InputError(
            f"needs a vector and a beta of 1, not shape {value.source.shape} and "
            f"{operator.options.get('Beta')}"
        )
    answer = _answer(result) if result.kind == "int8" else None
    network.values[result.index] = replace(value, host="softmax", answer=answer)


def _answer(tensor: Tensor) -> Affine8:
    """Codes to which a host rounds a softmax."""
    scale, zero = quantization(tensor)
    return Affine8(scale, zero, half_away=True)


def keeps_codes(given: Tensor, result: Tensor) -> bool:
    """Whether QUANTIZE from or to uint8 only moves codes by 128."""
    sizes = {len(part) for tensor in (given, result) for part in (tensor.scales, tensor.zeros)}
    if {given.kind, result.kind} != {"int8", "uint8"} or sizes != {1}:
        return False
    zeros = [int(tensor.zeros[0]) - 128 * (tensor.kind == "uint8") for tensor in (given, result)]
    return zeros[0] == zeros[1] and float(given.scales[0]) == float(result.scales[0])


def _quantize(network: Network, operator: Operator) -> None:
    value, tensor, given = network.value(operator), network.target(operator), operator.inputs[0]
    assert given is not None
    if value.host == "softmax" and not keeps_codes(network.file.tensors[given], tensor):
        if value.answer is not None:
            raise InputError("codes of a SOFTMAX cannot be rounded again")
        value = replace(value, answer=_answer(tensor))
        network.values[tensor.index] = value
        return
    if value.host == "softmax" or keeps_codes(network.file.tensors[given], tensor):
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
    given = operator.inputs[0]
    if given is not None and not value.host:
        value = network.with_border(network.file.tensors[given], value)
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


OPERATORS: dict[str, Callable[[Network, Operator], None]] = {
    **dict.fromkeys(FUNCTIONS, function),
    "ADD": add,
    "AVERAGE_POOL_2D": average_pool,
    "BATCH_MATMUL": batch_matmul,
    "CONCATENATION": _concat,
    "CONV_2D": convolution,
    "DEPTHWISE_CONV_2D": depthwise,
    "DEQUANTIZE": _dequantize,
    "EXPAND_DIMS": reshape,
    "FULLY_CONNECTED": dense,
    "MAXIMUM": larger,
    "MAX_POOL_2D": max_pool,
    "MEAN": mean,
    "MINIMUM": smaller,
    "MUL": multiply,
    "PAD": _pad,
    "QUANTIZE": _quantize,
    "RELU": _clip(0.0, None),
    "RELU6": _clip(0.0, 6.0),
    "RELU_N1_TO_1": _clip(-1.0, 1.0),
    "RESHAPE": reshape,
    "SOFTMAX": _softmax,
    "SQUARED_DIFFERENCE": squared_difference,
    "SQUEEZE": reshape,
    "SUB": subtract,
    "TRANSPOSE": transpose,
    "TRANSPOSE_CONV": transposed,
}
