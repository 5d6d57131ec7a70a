"""ONNX operators on two values, element by element: sums and factors."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from math import prod

import numpy as np

from pulsarray.compiler.importers.onnx import functions
from pulsarray.compiler.importers.onnx.broadcast import emit_pair
from pulsarray.compiler.importers.onnx.file import Call
from pulsarray.compiler.importers.onnx.functions import emit
from pulsarray.compiler.importers.onnx.layers import affine
from pulsarray.compiler.importers.onnx.linear import spread
from pulsarray.compiler.importers.onnx.orders import NO_AXIS
from pulsarray.compiler.importers.onnx.tensors import Network, Tensor
from pulsarray.compiler.ir.value import Floats
from pulsarray.compiler.ops.add import Add
from pulsarray.compiler.ops.binary import Binary
from pulsarray.compiler.ops.clip import Clip
from pulsarray.compiler.ops.divide import Divide
from pulsarray.compiler.ops.dropout import Dropout
from pulsarray.compiler.ops.maximum import Maximum
from pulsarray.compiler.ops.minimum import Minimum
from pulsarray.compiler.ops.multiply import Multiply
from pulsarray.compiler.ops.prelu import PRelu
from pulsarray.compiler.ops.reciprocal import Reciprocal
from pulsarray.compiler.ops.sigmoid import Sigmoid
from pulsarray.compiler.ops.silu import Silu
from pulsarray.compiler.ops.subtract import Subtract
from pulsarray.compiler.passes.maps import LARGEST_REORDER
from pulsarray.errors import InputError

__all__ = ["add", "clip", "div", "dropout", "extreme", "mul", "prelu", "sub", "total"]


def _operands(network: Network, call: Call) -> tuple[Tensor, Floats, bool]:
    """A value, a constant for each of its channels or elements, and whether that comes first."""
    first, second = call.inputs
    swapped = network.is_constant(first)
    data, other = (second, first) if swapped else (first, second)
    tensor = network.tensor_of_any_order(data, call.where)
    constant = network.constant(other, call.where, f"one operand of {call.kind}")
    batch = tensor.batch_axis
    if batch and network.file.batch == 1:
        tensor, batch = network.whole(tensor), NO_AXIS
    elif batch:
        constant = _batch_first(call, constant, tensor)
    if constant.size == 1 and constant.ndim <= len(tensor.shape) + 1:
        channels = network.shape(tensor.value)[-1]
        row = np.full(channels, constant.reshape(-1)[0])
        return replace(tensor, batch_axis=batch), row, swapped
    tensor = _as_large(network, call, tensor, constant)
    stored = _stored(network, constant, tensor, call.where)
    if stored is None:
        with suppress(InputError):  # Too large to be put in order: it may still be flat.
            tensor = network.usual(tensor, call.where)
        stored = _stored(network, constant, tensor, call.where)
    if stored is None and prod(tensor.shape) <= LARGEST_REORDER:
        tensor = network.flat(tensor)
        stored = _stored(network, constant, tensor, call.where)
    if stored is None:
        raise InputError(
            f"{call.where}: a constant must be one number or one a channel of (N, "
            f"{', '.join(map(str, tensor.shape))}), not {constant.shape}, where there are more "
            f"than {LARGEST_REORDER} elements"
        )
    return replace(tensor, batch_axis=batch), stored, swapped


def _batch_first(call: Call, constant: Floats, tensor: Tensor) -> Floats:
    """A constant that is the same for all samples, whose axis is the first then."""
    rank, axis = len(tensor.shape) + 1, tensor.batch_axis
    constant = constant.reshape((1,) * (rank - constant.ndim) + constant.shape)
    if constant.ndim != rank or constant.shape[axis] != 1:
        raise InputError(
            f"{call.where}: a constant of shape {constant.shape} must be the same along axis "
            f"{axis}, the batch"
        )
    return np.moveaxis(constant, axis, 0)


def _as_large(network: Network, call: Call, tensor: Tensor, constant: Floats) -> Tensor:
    """A tensor that repeats where the constant has more elements."""
    sample = (1, *tensor.shape)
    try:
        wide = np.broadcast_shapes(sample, constant.shape)
    except ValueError:
        wide = (0,)
    if len(wide) != len(sample) or wide[0] != 1:
        raise InputError(
            f"{call.where}: a constant of shape {constant.shape} does not fit (N, "
            f"{', '.join(map(str, tensor.shape))}), each sample by itself"
        )
    return tensor if wide == sample else spread(network, call, tensor, wide[1:])


def _stored(network: Network, constant: Floats, tensor: Tensor, where: str) -> Floats | None:
    """A constant as one number a channel of the tensor's value, or a map like it; None if neither.

    What learns, or is quantized already, has no constant maps.
    """
    shape, places = network.shape(tensor.value), network.places(tensor, where)
    stored: Floats = np.zeros(shape)
    wide = np.broadcast_to(constant, (1, *tensor.shape))
    stored.reshape(-1)[places.reshape(-1)] = wide.reshape(-1)
    rows = stored.reshape(-1, shape[-1])
    if bool((rows == rows[0]).all()):
        return np.asarray(rows[0])
    fits = len(shape) == 3 and places.size == stored.size
    return stored if fits and not network.learns and not network.folds_later else None


def _scaled(network: Network, call: Call, tensor: Tensor, factor: Floats, offset: Floats) -> None:
    """A tensor times a factor plus an offset, of each channel of its value or of each element."""
    if factor.ndim == offset.ndim == 1:
        affine(network, call, tensor, factor, offset)
        return
    name, value, output = network.label(call), tensor.value, call.outputs[0]
    if (factor != 1.0).any():
        made = network.fresh(f"{output} scaled") if offset.any() else output
        part = {"factor": factor}
        label = f"{name} factor" if offset.any() else name
        value = network.emit(label, Multiply(), (value,), made, constants=part).value
    if offset.any():
        value = network.emit(name, Add(), (value,), output, constants={"offset": offset}).value
    network.elementwise(call, tensor, replace(tensor, value=value))


def add(network: Network, call: Call) -> None:
    """The sum of two values, or of a value and a constant."""
    if any(network.is_constant(name) for name in call.inputs):
        tensor, offset, _ = _operands(network, call)
        _scaled(network, call, tensor, np.ones(offset.shape[-1]), offset)
        return
    total(network, call)


def total(network: Network, call: Call) -> None:
    """The sum of one or more values."""
    _reduce(network, call, Add(), network.aligned(call.inputs, call.where))


def _reduce(network: Network, call: Call, op: Binary, tensors: Sequence[Tensor]) -> None:
    """A function of the first two values, then of its result and the next, and so on."""
    made, name, batch = tensors[0], network.label(call), tensors[0].batch_axis
    for place, tensor in enumerate(tensors[1:], 2):
        last = place == len(tensors)
        output = call.outputs[0] if last else network.fresh(f"{call.outputs[0]} part {place}")
        label = name if last else f"{name} part {place}"
        made = emit_pair(network, call, op, (made, tensor), label, output)
    network.define(call.outputs[0], made, batch)


def extreme(network: Network, call: Call) -> None:
    """The largest or smallest of values; with constants that are one number, limits."""
    numbers = [
        float(network.constant(name, call.where, "limit").item())
        for name in call.inputs
        if network.is_constant(name) and network.constants[name].size == 1
    ]
    names = [
        name
        for name in call.inputs
        if not (network.is_constant(name) and network.constants[name].size == 1)
    ]
    tensors = network.aligned(names, call.where)
    largest = call.kind == "Max"
    if not numbers:
        _reduce(network, call, Maximum() if largest else Minimum(), tensors)
        return
    if len(tensors) != 1:
        raise InputError(f"{call.where}: {call.kind} of several values and limits is not possible")
    limits = Clip(low=max(numbers)) if largest else Clip(high=min(numbers))
    emit(network, call, tensors[0], limits)


def clip(network: Network, call: Call) -> None:
    """Values cut to an interval; a limit that depends on the input is a Max or a Min."""
    limits = [name for name in call.inputs[1:3] if name and not network.is_constant(name)]
    if not limits:
        functions.clip(network, call)
        return
    low, high = call.given(1), call.given(2)
    if low and high:
        raised = network.fresh(f"{call.outputs[0]} raised")
        _at_limit(network, call, "Max", call.inputs[0], low, raised)
        _at_limit(network, call, "Min", raised, high, call.outputs[0])
    else:
        kind = "Max" if low else "Min"
        _at_limit(network, call, kind, call.inputs[0], low or high, call.outputs[0])


def _at_limit(network: Network, call: Call, kind: str, x: str, limit: str, output: str) -> None:
    """One limit of a Clip."""
    name = f"{call.name}.{kind.lower()}"
    extreme(network, replace(call, kind=kind, name=name, inputs=(x, limit), outputs=(output,)))


def sub(network: Network, call: Call) -> None:
    """The difference of a value and a constant, or of two values."""
    if not any(network.is_constant(name) for name in call.inputs):
        _pair(network, call, Subtract())
        return
    tensor, constant, swapped = _operands(network, call)
    ones = np.ones(constant.shape[-1])
    if swapped:
        _scaled(network, call, tensor, -ones, constant)
    else:
        _scaled(network, call, tensor, ones, -constant)


def mul(network: Network, call: Call) -> None:
    """A value times a constant, or times another value."""
    if not any(network.is_constant(name) for name in call.inputs):
        _product(network, call)
        return
    tensor, factor, _ = _operands(network, call)
    _scaled(network, call, tensor, factor, np.zeros(factor.shape[-1]))


def _product(network: Network, call: Call) -> None:
    """The product of two values; of one and its sigmoid it is a function of single elements."""
    tensors = network.aligned(call.inputs, call.where)
    for tensor, other in (tensors, tensors[::-1]):
        if _is_gated(network, tensor, other):
            emit(network, call, tensor, Silu())
            return
    _pair(network, call, Multiply())


def _is_gated(network: Network, tensor: Tensor, gate: Tensor) -> bool:
    """Whether a tensor is the sigmoid of another, element by element."""
    sigmoids = {node.output: node.inputs[0] for node in network.nodes if node.op == Sigmoid()}
    alike = tensor.shape == gate.shape and np.array_equal(tensor.places, gate.places)
    return alike and sigmoids.get(gate.value) == tensor.value


def _pair(network: Network, call: Call, op: Binary) -> None:
    """A function of two values."""
    first, second = network.aligned(call.inputs, call.where)
    name, output = network.label(call), call.outputs[0]
    made = emit_pair(network, call, op, (first, second), name, output)
    network.define(output, made, first.batch_axis)


def div(network: Network, call: Call) -> None:
    """A value divided by a constant or by another value."""
    if not any(network.is_constant(name) for name in call.inputs):
        _pair(network, call, Divide())
        return
    tensor, divisor, swapped = _operands(network, call)
    if swapped:
        output = network.fresh(f"{call.outputs[0]} reciprocal")
        name = f"{network.label(call)} reciprocal"
        made = network.emit(name, Reciprocal(), (tensor.value,), output)
        zeros = np.zeros(divisor.shape[-1])
        _scaled(network, call, replace(tensor, value=made.value), divisor, zeros)
        return
    if not divisor.all():
        raise InputError(f"{call.where}: Div must be by a constant other than 0")
    _scaled(network, call, tensor, 1.0 / divisor, np.zeros(divisor.shape[-1]))


def prelu(network: Network, call: Call) -> None:
    """A rectifier with a constant slope, one or one a channel."""
    tensor, slope, swapped = _operands(network, call)
    if swapped:
        raise InputError(f"{call.where}: PRelu of a constant is not supported")
    if slope.ndim > 1:
        raise InputError(f"{call.where}: a slope must be one number or one a channel")
    name, op = network.label(call), PRelu()
    made = network.emit(name, op, (tensor.value,), call.outputs[0], {"slope": slope})
    network.elementwise(call, tensor, made)


def dropout(network: Network, call: Call) -> None:
    """Nothing in inference; images keep it to show."""
    tensor = network.tensor(call.inputs[0], call.where)
    if any(network.uses.get(name, 0) for name in call.outputs[1:] if name):
        raise InputError(f"{call.where}: Dropout's mask is not supported")
    name = call.given(2)
    if name and not network.learns and network.raw(name, call.where, "training mode").any():
        raise InputError(f"{call.where}: Dropout must be in inference mode, not training mode")
    if not network.images and not network.learns:
        network.define(call.outputs[0], tensor)
        return
    rate = call.number("ratio", 0.5)
    if call.given(1):
        ratio = network.constant(call.given(1), call.where, "ratio")
        if ratio.size != 1:
            raise InputError(f"{call.where}: ratio must be one number, not {ratio.shape}")
        rate = ratio.item()
    emit(network, call, tensor, Dropout(rate))
