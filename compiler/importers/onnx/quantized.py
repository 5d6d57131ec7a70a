"""Quantized ONNX files to networks in int8: QuantizeLinear and its relatives around operators.

Operators are imported as if they were float, with a note which values are rounded to which codes;
then each becomes the integer operator that rounds once, half to even, as the standard says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from pulsarray.compiler.importers.inputs import GivenShapes
from pulsarray.compiler.importers.onnx.codes import (
    code_type,
    constant_codes,
    quantization,
    quantize_constant,
)
from pulsarray.compiler.importers.onnx.file import Call, OnnxFile
from pulsarray.compiler.importers.onnx.graph import fold_call, imported, run_call
from pulsarray.compiler.importers.onnx.integers import integers
from pulsarray.compiler.importers.onnx.operators import IMAGES, OPERATORS
from pulsarray.compiler.importers.onnx.rounding import QuantizedNetwork
from pulsarray.compiler.ir.graph import Graph
from pulsarray.compiler.ops.integer.codes import LOW
from pulsarray.errors import InputError

__all__ = ["QUANTIZED", "integer_graph_of", "quantized_network"]

Ints = npt.NDArray[np.int64]

_MICROSOFT = "com.microsoft."
_PRODUCTS = {"Conv": 0, "ConvTranspose": 1, "Gemm": 1, "MatMul": 1}
"""Operators with weights, and the weights' axis of results (that of Gemm without transB)."""
_ON_CODES = frozenset(
    {"Concat", "Flatten", "Identity", "MaxPool", "Reshape", "Squeeze", "Transpose", "Unsqueeze"}
)
"""Operators that mean the same on codes as on what the codes stand for."""


def integer_graph_of(file: OnnxFile, shape: GivenShapes) -> Graph:
    """The network of a quantized file."""
    return integers(quantized_network(file, shape))


def quantized_network(file: OnnxFile, shape: GivenShapes) -> QuantizedNetwork:
    """What a quantized file says: its operators, and where values are rounded."""
    images = IMAGES | {name for name in QUANTIZED if "Conv" in name or "Pool" in name}
    return imported(file, shape, images, QuantizedNetwork, _read)


def _read(network: QuantizedNetwork) -> None:
    network.prepare()
    for call in network.file.calls:
        if call.kind in QUANTIZED:
            QUANTIZED[call.kind](network, call)
        elif call.kind == "Dropout" or not _fold(network, call):
            _run(network, _with_codes(network, call))
    network.results()


def _fold(network: QuantizedNetwork, call: Call) -> bool:
    if not fold_call(network, call):
        return False
    # A weight that is turned or reshaped between its DequantizeLinear and its product.
    codes, result = network.codes.get(call.given(0)), call.outputs[0]
    if codes is None:
        return True
    if call.kind == "Transpose":
        order = call.integers("perm") or tuple(reversed(range(codes.codes.ndim)))
        turned, axis = codes.codes.transpose(order), order.index(codes.axis)
        network.codes[result] = replace(codes, codes=turned, axis=axis)
    elif call.kind == "Identity" or (call.kind == "Reshape" and codes.scale.size == 1):
        shape = network.constants[result].shape
        network.codes[result] = replace(codes, codes=codes.codes.reshape(shape))
    return True


def _run(network: QuantizedNetwork, call: Call) -> None:
    """Put an operator at the end as if it were float, and note what its weights are."""
    if call.kind == "Dropout":
        OPERATORS["Identity"](network, replace(call, inputs=call.inputs[:1]))
        return
    run_call(network, call, OPERATORS)
    if call.kind in _PRODUCTS:
        made = next(node for node in reversed(network.nodes) if "weight" in node.op.reads)
        network.peaks[made.name] = _peaks(network, call)


def _with_codes(network: QuantizedNetwork, call: Call) -> Call:
    """An operator as one on what codes stand for, its result noted to be codes.

    Raises
    ------
    InputError
        If it means something else on codes than on real numbers.
    """
    read = [name for name in call.inputs if name in network.code_types]
    if not read or call.kind == "Shape":
        return call
    if call.kind == "Pad":
        _check_padding(network, call)
        call = replace(call, inputs=[*call.inputs[:2], "", *call.inputs[3:]])
    elif call.kind not in _ON_CODES:
        raise InputError(
            f"{call.where}: {call.kind} reads {read[0]!r}, which is codes, not real numbers; it "
            "needs a DequantizeLinear before it and a QuantizeLinear behind it"
        )
    network.code_types[call.outputs[0]] = network.code_types[read[0]]
    return call


def _check_padding(network: QuantizedNetwork, call: Call) -> None:
    """Refuse padding of codes with anything but their zero point, which is real zero."""
    known = network.quantization_of(network.tensor(call.inputs[0], call.where).value)
    shift = LOW if network.code_types[call.inputs[0]] == "uint8" else 0
    name = call.given(2)
    code = int(network.raw(name, call.where, "value").reshape(-1)[0]) if name else 0
    if known is None or code + shift != known.zero:
        raise InputError(
            f"{call.where}: Pad puts code {code} around {call.inputs[0]!r}, which must be its "
            f"zero point{'' if known is None else f', {known.zero - shift}'}"
        )


def _peaks(network: QuantizedNetwork, call: Call) -> Ints:
    """The largest magnitude among the codes of each result's weights."""
    if call.inputs[1] not in network.codes:
        raise InputError(f"{call.where}: weight {call.inputs[1]!r} is not quantized")
    weight = network.codes[call.inputs[1]]
    axis = 0 if call.integer("transB", 0) else _PRODUCTS[call.kind]
    if weight.scale.size > 1 and weight.axis != axis:
        raise InputError(
            f"{call.where}: weight {call.inputs[1]!r} needs one scale, or one for each result "
            f"(axis {axis}), not one along axis {weight.axis}"
        )
    codes = np.abs(np.moveaxis(weight.codes, axis, 0).reshape(weight.codes.shape[axis], -1))
    if call.kind != "ConvTranspose":
        return np.asarray(codes.max(axis=1))
    groups = call.integer("group", 1)
    parts = np.abs(weight.codes).reshape(groups, -1, *weight.codes.shape[1:])
    return np.asarray(parts.max(axis=(1, *range(3, parts.ndim))).reshape(-1))


def _quantize_linear(network: QuantizedNetwork, call: Call) -> None:
    if call.integer("block_size", 0):
        raise InputError(f"{call.where}: blocks of scales are not supported")
    if network.is_constant(call.inputs[0]):
        made = quantize_constant(
            network, call, call.inputs[0], call.inputs[1], call.given(2), call.integer("axis", 1)
        )
        network.constants[call.outputs[0]] = made
        return
    if call.inputs[0] in network.code_types:
        raise InputError(f"{call.where}: {call.inputs[0]!r} is codes already")
    _finish(network, call, (call.inputs[1], call.given(2)), call.inputs[0])


def _dequantize_linear(network: QuantizedNetwork, call: Call) -> None:
    if call.integer("block_size", 0):
        raise InputError(f"{call.where}: blocks of scales are not supported")
    name, scale, zero = call.inputs[0], call.inputs[1], call.given(2)
    if network.is_constant(name):
        codes = constant_codes(network, call, name, scale, zero, call.integer("axis", 1))
        network.codes[call.outputs[0]] = codes
        network.constants[call.outputs[0]] = codes.values
        return
    _expect(network, call, name, scale, zero)
    network.define(call.outputs[0], network.tensor(name, call.where))


def _expect(network: QuantizedNetwork, call: Call, name: str, scale: str, zero: str) -> None:
    """Refuse codes that are read in another way than they were written."""
    tensor = network.tensor(name, call.where)
    if name not in network.code_types:
        raise InputError(f"{call.where}: {name!r} must be codes of a QuantizeLinear or an operator")
    codes = quantization(network, call, scale, zero, network.code_types[name])
    known = network.quantization_of(tensor.value)
    if known != codes:
        raise InputError(f"{call.where}: {name!r} has not the scale and zero point given here")


def _product(
    network: QuantizedNetwork, call: Call, kind: str, bias: str, target: tuple[str, str], axis: int
) -> None:
    """An operator with inputs x, x's scale and zero point, w and w's."""
    data, scale, zero, weight, weight_scale, weight_zero = call.inputs[:6]
    _expect(network, call, data, scale, zero)
    output = call.outputs[0]
    real = network.fresh(f"{output} weight")
    codes = constant_codes(network, call, weight, weight_scale, weight_zero, axis)
    network.codes[real], network.constants[real] = codes, codes.values
    inputs = [data, real]
    if bias:
        stored_bias = network.raw(bias, call.where, "bias")
        unit = network.constant(scale, call.where, "scale").item() * codes.scale
        unit = unit * call.number("alpha", 1.0)  # It is of the sums with QGemm's factor.
        offset = network.fresh(f"{output} bias")
        if (
            stored_bias.ndim != 1
            or stored_bias.dtype.kind not in "iu"
            or unit.size not in (1, stored_bias.size)
        ):
            raise InputError(f"{call.where}: bias {bias!r} must be integers, one a result")
        network.codes[offset] = replace(
            codes, codes=stored_bias.astype(np.int64), scale=unit, axis=0
        )
        network.constants[offset] = network.codes[offset].values
        inputs.append(offset)
    _run(network, replace(call, kind=kind, inputs=inputs))
    _finish(network, call, target)


def _finish(
    network: QuantizedNetwork, call: Call, target: tuple[str, str], source: str = ""
) -> None:
    """Round what an operator has made, or a tensor, to its result's codes, if it has some."""
    output = call.outputs[0]
    if target[0]:
        kind = code_type(network, call, target[1])
        network.round(call, source or output, quantization(network, call, *target, kind))
        network.code_types[output] = kind


def _qlinear_conv(network: QuantizedNetwork, call: Call) -> None:
    _product(network, call, "Conv", call.given(8), (call.inputs[6], call.inputs[7]), 0)


def _qlinear_matmul(network: QuantizedNetwork, call: Call) -> None:
    _product(network, call, "MatMul", "", (call.inputs[6], call.inputs[7]), 1)


def _qgemm(network: QuantizedNetwork, call: Call) -> None:
    _need(call, 6)
    axis = 0 if call.integer("transB", 0) else 1
    _product(network, call, "Gemm", call.given(6), (call.given(7), call.given(8)), axis)


def _need(call: Call, count: int) -> None:
    """Check what the onnx package does not, of operators that are not its own."""
    if len(call.inputs) < count or len(call.outputs) != 1:
        raise InputError(f"{call.where}: {call.kind} needs {count} inputs and one result")


def _qlinear_add(network: QuantizedNetwork, call: Call) -> None:
    _need(call, 8)
    first, second = call.inputs[:3], call.inputs[3:6]
    for name, scale, zero in (first, second):
        _expect(network, call, name, scale, zero)
    _run(network, replace(call, kind="Add", inputs=(first[0], second[0])))
    _finish(network, call, (call.inputs[6], call.inputs[7]))


def _qlinear_one(kind: str) -> Callable[[QuantizedNetwork, Call], None]:
    def handle(network: QuantizedNetwork, call: Call) -> None:
        _need(call, 5)
        if call.integer("channels_last", 0):
            raise InputError(f"{call.where}: {call.kind} must have channels first")
        _expect(network, call, *call.inputs[:3])
        _run(network, replace(call, kind=kind, inputs=call.inputs[:1]))
        _finish(network, call, (call.inputs[3], call.inputs[4]))

    return handle


def _qlinear_concat(network: QuantizedNetwork, call: Call) -> None:
    _need(call, 5)
    parts = [call.inputs[place : place + 3] for place in range(2, len(call.inputs), 3)]
    if any(len(part) != 3 for part in parts):
        raise InputError(f"{call.where}: {call.kind} needs a scale and zero point for each input")
    for name, scale, zero in parts:
        _expect(network, call, name, scale, zero)
    _run(network, replace(call, kind="Concat", inputs=[part[0] for part in parts]))
    _finish(network, call, (call.inputs[0], call.inputs[1]))


QUANTIZED: Mapping[str, Callable[[QuantizedNetwork, Call], None]] = {
    "DequantizeLinear": _dequantize_linear,
    "QLinearConv": _qlinear_conv,
    "QLinearMatMul": _qlinear_matmul,
    "QuantizeLinear": _quantize_linear,
    f"{_MICROSOFT}DequantizeLinear": _dequantize_linear,
    f"{_MICROSOFT}QGemm": _qgemm,
    f"{_MICROSOFT}QLinearAdd": _qlinear_add,
    f"{_MICROSOFT}QLinearAveragePool": _qlinear_one("AveragePool"),
    f"{_MICROSOFT}QLinearConcat": _qlinear_concat,
    f"{_MICROSOFT}QLinearGlobalAveragePool": _qlinear_one("GlobalAveragePool"),
    f"{_MICROSOFT}QLinearSigmoid": _qlinear_one("Sigmoid"),
    f"{_MICROSOFT}QuantizeLinear": _quantize_linear,
}
"""Operators that make a file a quantized one."""
