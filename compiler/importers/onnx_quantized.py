"""Quantized ONNX files to networks in int8: QuantizeLinear and its relatives around operators.

Operators are imported as if they were float, with a note which values are rounded to which codes;
then each becomes the integer operator that rounds once, half to even, as the standard says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import inf

import numpy as np

from pulsarray.compiler.graph import Activate, Floats
from pulsarray.compiler.importers.onnx_codes import QuantizedNetwork, constant_codes, quantization
from pulsarray.compiler.importers.onnx_file import Call, OnnxFile
from pulsarray.compiler.importers.onnx_graph import finish, fold_call, run_call, start
from pulsarray.compiler.importers.onnx_operators import IMAGES, OPERATORS
from pulsarray.compiler.maps.integer import HIGH, LOW, IntegerGraph
from pulsarray.compiler.quantization.fold import fold
from pulsarray.compiler.quantization.fuse import Step, fuse_graph
from pulsarray.compiler.quantization.integer_nodes import IntegerNodes
from pulsarray.compiler.quantization.integer_weights import Columns
from pulsarray.compiler.quantization.quantize import Quantization
from pulsarray.compiler.spatial import MaxPool, Shuffle
from pulsarray.errors import InputError

__all__ = ["QUANTIZED", "integer_graph_of"]

_BITS = 31
"""Bits of multipliers."""
_LARGEST_SUM = (1 << 31) - 1
_MICROSOFT = "com.microsoft."
_PRODUCTS = {"Conv": 0, "ConvTranspose": 1, "Gemm": 1, "MatMul": 1}
"""Operators with weights, and the weights' axis of results (that of Gemm without transB)."""


def integer_graph_of(file: OnnxFile, shape: Sequence[int] | None) -> IntegerGraph:
    """The network of a quantized file."""
    images = IMAGES | {name for name in QUANTIZED if "Conv" in name or "Pool" in name}
    network = start(file, shape, images, QuantizedNetwork)
    network.prepare()
    for call in file.calls:
        if call.kind in QUANTIZED:
            QUANTIZED[call.kind](network, call)
        elif call.kind == "Dropout" or not _fold(network, call):
            _run(network, call)
    return _integers(network)


def _fold(network: QuantizedNetwork, call: Call) -> bool:
    if not fold_call(network, call):
        return False
    # A weight that is transposed between its DequantizeLinear and its product.
    if call.kind in ("Transpose", "Identity", "Reshape") and call.inputs[0] in network.codes:
        codes = network.codes[call.inputs[0]]
        shape = network.constants[call.outputs[0]].shape
        if call.kind == "Transpose" and codes.codes.ndim == 2:
            made = replace(codes, codes=codes.codes.T, axis=1 - codes.axis)
            network.codes[call.outputs[0]] = made
        elif call.kind == "Identity" or codes.scale.size == 1:
            made = replace(codes, codes=codes.codes.reshape(shape))
            network.codes[call.outputs[0]] = made
    return True


def _run(network: QuantizedNetwork, call: Call) -> None:
    """Put an operator at the end as if it were float, and note what its weights are."""
    if call.kind == "Dropout":
        OPERATORS["Identity"](network, replace(call, inputs=call.inputs[:1]))
        return
    run_call(network, call, OPERATORS)
    if call.kind not in _PRODUCTS:
        return
    name = network.nodes[-1].name
    if call.inputs[1] not in network.codes:
        raise InputError(f"{call.where}: weight {call.inputs[1]!r} is not quantized")
    weight = network.codes[call.inputs[1]]
    axis = _PRODUCTS[call.kind] if not call.integer("transB", 0) else 0
    grouped = call.kind == "ConvTranspose" and call.integer("group", 1) != 1
    if weight.scale.size > 1 and (weight.axis != axis or grouped):
        raise InputError(f"{call.where}: weight needs one scale, or one for each result")
    network.weight_scales[name] = weight.scale * call.number("alpha", 1.0)
    bias = network.codes.get(call.given(2))
    if bias is not None and call.number("beta", 1.0) == 1.0 and bias.codes.ndim == 1:
        network.biases[name] = bias.codes


def _round(network: QuantizedNetwork, call: Call, name: str, to: Quantization) -> None:
    """Note that a tensor is rounded; what is rounded already is rounded again."""
    tensor = network.tensor(name, call.where)
    known = network.quantization_of(tensor.value)
    output = call.outputs[0]
    if known is None:
        if network.file.uses[name] > 1 and name != output:
            raise InputError(f"{call.where}: {name!r} is also read before it is rounded")
        value = tensor.value
        while (origin := network.origin(value)) is not None:
            value = origin
        network.rounded[value] = to
        network.define(output, tensor)
    elif known == to:
        network.define(output, tensor)
    else:
        value = network.fresh(f"{output} rounded")
        node = Activate(network.label(call), tensor.value, value, "clip", -inf, inf)
        network.elementwise(call, tensor, node)
        network.rounded[value] = to


def _quantize_linear(network: QuantizedNetwork, call: Call) -> None:
    if call.integer("block_size", 0):
        raise InputError(f"{call.where}: blocks of scales are not supported")
    to = quantization(network, call, call.inputs[1], call.given(2))
    if network.is_constant(call.inputs[0]):
        values = network.constant(call.inputs[0], call.where, "value")
        zero = network.constants.get(call.given(2), np.zeros(1, np.uint8))
        shift = int(zero.reshape(-1)[0]) - to.zero_point
        network.constants[call.outputs[0]] = (to.encode(values) + shift).astype(zero.dtype)
        return
    _round(network, call, call.inputs[0], to)


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
    given = quantization(network, call, scale, zero)
    known = network.quantization_of(network.tensor(name, call.where).value)
    if known != given:
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
        given = network.raw(bias, call.where, "bias")
        unit = network.constant(scale, call.where, "scale").item() * codes.scale
        offset = network.fresh(f"{output} bias")
        if given.ndim != 1 or given.dtype.kind not in "iu" or unit.size not in (1, given.size):
            raise InputError(f"{call.where}: bias {bias!r} must be integers, one a result")
        network.codes[offset] = replace(codes, codes=given.astype(np.int64), scale=unit, axis=0)
        network.constants[offset] = network.codes[offset].values
        inputs.append(offset)
    _run(network, replace(call, kind=kind, inputs=inputs))
    _finish(network, call, target)


def _finish(network: QuantizedNetwork, call: Call, target: tuple[str, str]) -> None:
    output = call.outputs[0]
    if target[0]:
        _round(network, call, output, quantization(network, call, *target))


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


def _integers(network: QuantizedNetwork) -> IntegerGraph:
    """The integer network of what has been noted."""
    output = network.tensor(network.file.output, "output").value
    graph = finish(network)
    rounded = dict(network.rounded)
    if (known := network.quantization_of(output)) is not None:
        rounded[graph.output.name] = known
    folded = fold(graph)
    steps, after = fuse_graph(folded, rounded)
    targets = _targets(steps, folded.input.name, rounded)

    def product(name: str, weight: Floats, bias: Floats, scale: float) -> Columns:
        if name not in network.weight_scales:
            raise InputError(f"{name}: its weight is not quantized")
        unit = np.broadcast_to(network.weight_scales[name] * scale, bias.shape)
        codes = np.rint(weight / (unit / scale)).astype(np.int64)
        offsets = network.biases.get(name)
        if offsets is None or offsets.shape != bias.shape:
            offsets = np.rint(np.clip(bias / unit, -(2.0**62), 2.0**62)).astype(np.int64)
        return _checked(name, Columns(codes, offsets, unit))

    made = IntegerNodes(_BITS, targets, product, {})
    made.add_map(folded.input.name, folded.input.shape, targets[folded.input.name])
    for step in steps:
        made.add(step)
    return IntegerGraph(
        name=graph.name,
        input=made.maps[folded.input.name],
        nodes=made.nodes,
        maps=made.maps,
        output=graph.output.name,
        after=after,
        input_view=folded.input_view,
        output_view=folded.output_view,
    )


def _checked(name: str, columns: Columns) -> Columns:
    """Refuse weights that are not int8, and sums that may leave 32 bits."""
    if columns.weight.size and not LOW <= columns.weight.min() <= columns.weight.max() <= HIGH:
        raise InputError(f"{name}: weights less their zero point must be int8 codes")
    reach = np.abs(columns.weight).sum(axis=0) * (HIGH - LOW) + np.abs(columns.bias)
    if int(reach.max()) > _LARGEST_SUM:
        raise InputError(f"{name}: sums may exceed 32 bits")
    return columns


def _targets(
    steps: Sequence[Step], source: str, rounded: Mapping[str, Quantization]
) -> dict[str, Quantization]:
    """Quantization of the input and of each step's result."""
    if source not in rounded:
        raise InputError(f"input {source}: is not quantized before it is used")
    known = {source: rounded[source]}
    for step in steps:
        codes = rounded.get(step.output)
        if codes is None and isinstance(step.node, MaxPool | Shuffle) and not step.activations:
            codes = known[step.node.input]
        if codes is None:
            raise InputError(f"{step.node.name}: its result {step.output!r} is not quantized")
        known[step.output] = codes
    return known
