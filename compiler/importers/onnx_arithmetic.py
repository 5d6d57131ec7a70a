"""ONNX operators on single elements: sums, factors and activations."""

from __future__ import annotations

from math import inf

import numpy as np

from pulsarray.compiler.graph import Activate, Floats, Softmax
from pulsarray.compiler.importers.onnx_file import Call
from pulsarray.compiler.importers.onnx_layers import affine, row
from pulsarray.compiler.importers.onnx_tensors import Network, Tensor
from pulsarray.compiler.spatial import Add, Dropout
from pulsarray.errors import InputError

__all__ = ["activation", "add", "clip", "div", "dropout", "mul", "softmax", "sub", "total"]


def _operands(network: Network, call: Call) -> tuple[Tensor, Floats, bool]:
    """A value and a constant, and whether the constant comes first."""
    first, second = call.inputs
    swapped = network.is_constant(first)
    data, other = (second, first) if swapped else (first, second)
    tensor = network.tensor(data, call.where)
    constant = network.constant(other, call.where, f"one operand of {call.kind}")
    return tensor, _channel_row(constant, tensor, call.where), swapped


def _channel_row(constant: Floats, tensor: Tensor, where: str) -> Floats:
    """A constant as one number a channel of a tensor."""
    channels, *rest = tensor.shape
    if not rest:
        return row(constant, channels, where)
    wanted = (1, channels, *(1 for _ in rest))
    if constant.size == 1 and constant.ndim <= len(wanted):
        return np.full(channels, constant.reshape(-1)[0])
    if (1,) * (len(wanted) - constant.ndim) + constant.shape != wanted:
        raise InputError(
            f"{where}: a constant must be one number or one a channel, {wanted}, "
            f"not {constant.shape}"
        )
    return constant.reshape(-1)


def _affine(network: Network, call: Call, tensor: Tensor, factor: Floats, offset: Floats) -> None:
    if len(tensor.shape) != 1 and not (network.images and len(tensor.shape) == 3):
        raise InputError(f"{call.where}: {call.kind} needs a flat input, not shape {tensor.shape}")
    affine(network, call, tensor, factor, offset)


def add(network: Network, call: Call) -> None:
    """The sum of two values, or of a value and a constant."""
    if any(network.is_constant(name) for name in call.inputs):
        tensor, offset, _ = _operands(network, call)
        _affine(network, call, tensor, np.ones(len(offset)), offset)
        return
    total(network, call)


def total(network: Network, call: Call) -> None:
    """The sum of one or more values."""
    tensors = [network.tensor(name, call.where) for name in call.inputs]
    if not all(_alike(network, tensor, tensors[0]) for tensor in tensors):
        tensors = [network.usual(tensor, call.where) for tensor in tensors]
    if any(tensor.shape != tensors[0].shape for tensor in tensors):
        shapes = ", ".join(str(tensor.shape) for tensor in tensors)
        raise InputError(f"{call.where}: {call.kind} needs inputs of one shape, not {shapes}")
    made = tensors[0]
    name = network.label(call)
    for place, tensor in enumerate(tensors[1:], 2):
        last = place == len(tensors)
        output = call.outputs[0] if last else network.fresh(f"{call.outputs[0]} part {place}")
        label = name if last else f"{name} part {place}"
        value = network.emit(Add(label, (made.value, tensor.value), output)).value
        made = Tensor(value, tensors[0].shape, tensors[0].order)
    network.define(call.outputs[0], made)


def _alike(network: Network, one: Tensor, other: Tensor) -> bool:
    """Whether two tensors have their elements at the same places."""
    if one.shape != other.shape or network.shapes[one.value] != network.shapes[other.value]:
        return False
    if one.order is None or other.order is None:
        return one.order is other.order
    return np.array_equal(one.order, other.order)


def sub(network: Network, call: Call) -> None:
    """The difference of a value and a constant."""
    tensor, constant, swapped = _operands(network, call)
    ones = np.ones(len(constant))
    if swapped:
        _affine(network, call, tensor, -ones, constant)
    else:
        _affine(network, call, tensor, ones, -constant)


def mul(network: Network, call: Call) -> None:
    """A value times a constant."""
    tensor, factor, _ = _operands(network, call)
    _affine(network, call, tensor, factor, np.zeros(len(factor)))


def div(network: Network, call: Call) -> None:
    """A value divided by a constant."""
    tensor, divisor, swapped = _operands(network, call)
    if swapped or not divisor.all():
        raise InputError(f"{call.where}: Div must be by a constant other than 0")
    _affine(network, call, tensor, 1.0 / divisor, np.zeros(len(divisor)))


def activation(network: Network, call: Call) -> None:
    """Relu, Sigmoid or Tanh."""
    tensor = network.tensor(call.inputs[0], call.where)
    name = network.label(call)
    node = Activate(name, tensor.value, call.outputs[0], call.kind.lower())
    network.elementwise(call, tensor, node)


def clip(network: Network, call: Call) -> None:
    """Values cut to an interval."""
    tensor = network.tensor(call.inputs[0], call.where)
    limits = [call.number("min", -inf), call.number("max", inf)]
    for place, name in enumerate(call.inputs[1:3]):
        if name:
            limit = network.constant(name, call.where, "limit")
            if limit.size != 1:
                raise InputError(
                    f"{call.where}: limit {name!r} must be one number, not {limit.shape}"
                )
            limits[place] = limit.item()
    name = network.label(call)
    node = Activate(name, tensor.value, call.outputs[0], "clip", *limits)
    network.elementwise(call, tensor, node)


def dropout(network: Network, call: Call) -> None:
    """Nothing, in inference."""
    tensor = network.tensor(call.inputs[0], call.where)
    if any(network.file.uses.get(name, 0) for name in call.outputs[1:] if name):
        raise InputError(f"{call.where}: Dropout's mask is not supported")
    if not network.images:
        network.define(call.outputs[0], tensor)
        return
    rate = call.number("ratio", 0.5)
    if call.given(1):
        given = network.constant(call.given(1), call.where, "ratio")
        if given.size != 1:
            raise InputError(f"{call.where}: ratio must be one number, not {given.shape}")
        rate = given.item()
    node = Dropout(network.label(call), tensor.value, call.outputs[0], rate)
    network.elementwise(call, tensor, node)


def softmax(network: Network, call: Call) -> None:
    """Softmax over the channels."""
    tensor = network.usual(network.tensor(call.inputs[0], call.where), call.where)
    coerced = network.file.opset < 13
    axis = call.integer("axis", 1 if coerced else -1)
    if len(tensor.shape) == 1:
        right = axis in (1, -1)
    else:
        right = network.images and len(tensor.shape) == 3 and axis in (1, -3)
        right = right and not (coerced and tensor.shape[1:] != (1, 1))
    if not right:
        raise InputError(
            f"{call.where}: Softmax must be over the last of two dimensions or over the channels, "
            f"not axis {axis} of (N, {', '.join(map(str, tensor.shape))})"
        )
    network.emit_as(call, Softmax(network.label(call), tensor.value, call.outputs[0]))
