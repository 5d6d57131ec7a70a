"""What each ONNX operator becomes: one function an operator, called with the chain before it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf

import numpy as np
import onnx
from onnx import numpy_helper

from pulsarray.compiler.graph import Activate, Dense, Flatten, Floats, Softmax
from pulsarray.compiler.onnx_chain import Chain
from pulsarray.errors import InputError

__all__ = ["OPERATORS"]


def _attributes(node: onnx.NodeProto) -> Mapping[str, object]:
    return {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}


def _number(attributes: Mapping[str, object], name: str, default: float) -> float:
    value = attributes.get(name, default)
    return float(value) if isinstance(value, (int, float)) else default


def _gemm(chain: Chain, node: onnx.NodeProto, where: str) -> None:
    attributes = _attributes(node)
    if attributes.get("transA"):
        raise InputError(f"{where}: Gemm with transA would mix the samples of a batch")
    chain.take(node.input[0], where)
    weight = chain.matrix(node.input[1], where)
    weight = weight.T if attributes.get("transB") else weight
    bias = np.zeros(weight.shape[1])
    if len(node.input) > 2 and node.input[2]:
        given = chain.constant(node.input[2], where, "bias")
        bias = bias + _number(attributes, "beta", 1.0) * _row(given, weight.shape[1], where)
    scaled = _number(attributes, "alpha", 1.0) * weight
    chain.append(Dense(node.name or node.output[0], chain.end, node.output[0], scaled, bias))


def _row(bias: Floats, columns: int, where: str) -> Floats:
    """A bias as one value a column, if it is the same for every sample."""
    if bias.size not in (1, columns) or (bias.ndim and bias.shape[-1] != bias.size):
        raise InputError(f"{where}: bias must be one value a column ({columns}), not {bias.shape}")
    return np.broadcast_to(bias.reshape(-1), (columns,))


def _matmul(chain: Chain, node: onnx.NodeProto, where: str) -> None:
    chain.take(node.input[0], where)
    weight = chain.matrix(node.input[1], where)
    bias = np.zeros(weight.shape[1])
    chain.append(Dense(node.name or node.output[0], chain.end, node.output[0], weight, bias))


def _add(chain: Chain, node: onnx.NodeProto, where: str) -> None:
    data, other = node.input
    if chain.is_constant(data):
        data, other = other, data
    chain.take(data, where)
    last = chain.nodes[-1] if chain.nodes else None
    addend = chain.constant(other, where, "one operand of Add")
    if isinstance(last, Dense):
        bias = last.bias + _row(addend, len(last.bias), where)
        chain.nodes.pop()
        chain.shape = (last.weight.shape[0],)
        chain.append(Dense(last.name, last.input, node.output[0], last.weight, bias))
    elif len(chain.shape) == 1:
        size = chain.shape[0]
        bias = np.array(_row(addend, size, where))
        name = node.name or node.output[0]
        chain.append(Dense(name, chain.end, node.output[0], np.eye(size), bias))
    else:
        raise InputError(f"{where}: Add needs a flat input, not shape {chain.shape}")


def _function(name: str) -> Callable[[Chain, onnx.NodeProto, str], None]:
    def handle(chain: Chain, node: onnx.NodeProto, where: str) -> None:
        chain.take(node.input[0], where)
        label = node.name or node.output[0]
        chain.append(Activate(label, chain.end, node.output[0], name))

    return handle


def _clip(chain: Chain, node: onnx.NodeProto, where: str) -> None:
    chain.take(node.input[0], where)
    attributes = _attributes(node)
    limits = [_number(attributes, "min", -inf), _number(attributes, "max", inf)]
    for place, name in enumerate(node.input[1:3]):
        if name:
            limit = chain.constant(name, where, "limit")
            if limit.size != 1:
                raise InputError(f"{where}: limit {name!r} must be one number, not {limit.shape}")
            limits[place] = limit.item()
    label = node.name or node.output[0]
    chain.append(Activate(label, chain.end, node.output[0], "clip", *limits))


def _flatten(chain: Chain, node: onnx.NodeProto, where: str) -> None:
    chain.take(node.input[0], where)
    axis = _attributes(node).get("axis", 1)
    if axis != 1 and axis != -len(chain.shape):
        raise InputError(f"{where}: Flatten must keep the batch (axis 1), not axis {axis}")
    chain.append(Flatten(node.name or node.output[0], chain.end, node.output[0]))


def _reshape(chain: Chain, node: onnx.NodeProto, where: str) -> None:
    chain.take(node.input[0], where)
    wanted = [int(size) for size in chain.constant(node.input[1], where, "shape").reshape(-1)]
    size = int(np.prod(chain.shape))
    # Zero copies a dimension; only (batch, everything) is a reshape that keeps samples apart.
    if len(wanted) != 2 or wanted[1] not in (size, -1) or wanted == [-1, -1]:
        raise InputError(f"{where}: Reshape must be to (batch, {size}), not {wanted}")
    chain.append(Flatten(node.name or node.output[0], chain.end, node.output[0]))


def _softmax(chain: Chain, node: onnx.NodeProto, where: str) -> None:
    chain.take(node.input[0], where)
    axis = _attributes(node).get("axis", -1)
    if len(chain.shape) != 1 or axis not in (1, -1):
        raise InputError(f"{where}: Softmax must be over the last of two dimensions, not {axis}")
    chain.append(Softmax(node.name or node.output[0], chain.end, node.output[0]))


def _identity(chain: Chain, node: onnx.NodeProto, _where: str) -> None:
    chain.alias(node.output[0], node.input[0])


def _constant(chain: Chain, node: onnx.NodeProto, where: str) -> None:
    for name, value in _attributes(node).items():
        if name == "value" and isinstance(value, onnx.TensorProto):
            chain.define(node.output[0], numpy_helper.to_array(value))
        elif name in ("value_float", "value_int", "value_floats", "value_ints"):
            chain.define(node.output[0], np.asarray(value))
        else:
            raise InputError(f"{where}: Constant must be numbers, not {name}")


OPERATORS: Mapping[str, Callable[[Chain, onnx.NodeProto, str], None]] = {
    "Add": _add,
    "Clip": _clip,
    "Constant": _constant,
    "Flatten": _flatten,
    "Gemm": _gemm,
    "Identity": _identity,
    "MatMul": _matmul,
    "Relu": _function("relu"),
    "Reshape": _reshape,
    "Sigmoid": _function("sigmoid"),
    "Softmax": _softmax,
    "Tanh": _function("tanh"),
}
