"""ONNX operators that change shape and order alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod

import numpy as np
import onnx

from pulsarray.compiler.importers.onnx.constants import EMPTY_AXES
from pulsarray.compiler.importers.onnx.file import FLOATS, Call, element_name
from pulsarray.compiler.importers.onnx.orders import arranged
from pulsarray.compiler.importers.onnx.tensors import OTHER_BATCH, Network, Tensor
from pulsarray.compiler.ops.softmax import Softmax
from pulsarray.errors import InputError

__all__ = [
    "cast",
    "cast_like",
    "flatten",
    "identity",
    "reshape",
    "sample_axis",
    "shape",
    "softmax",
    "squeeze",
    "transpose",
    "unsqueeze",
]


def identity(network: Network, call: Call) -> None:
    """The same again."""
    network.alias(call.outputs[0], call.inputs[0], call.where)


def cast(network: Network, call: Call) -> None:
    """The same in another floating-point format: codes of int8 are coarser than any of them."""
    kind = call.integer("to", onnx.TensorProto.FLOAT)
    if kind not in FLOATS:
        raise InputError(
            f"{call.where}: {call.kind} of values that depend on the input must be to floating "
            f"point, not to {element_name(kind)}"
        )
    identity(network, call)


def cast_like(network: Network, call: Call) -> None:
    """As :func:`cast`, to the format of another value; those that depend on the input are float."""
    if (name := call.inputs[1]) in network.constants:
        kind = onnx.helper.np_dtype_to_tensor_dtype(network.constants[name].dtype)
        call = replace(call, attributes={"to": kind})
    cast(network, call)


def _reshaped(network: Network, call: Call, tensor: Tensor, wanted: tuple[int, ...]) -> None:
    network.rearrange(call, tensor, network.places(tensor, call.where).reshape(wanted))


def flatten(network: Network, call: Call) -> None:
    """All elements of a sample in one dimension."""
    tensor = network.tensor(call.inputs[0], call.where)
    axis = call.integer("axis", 1)
    if axis != 1 and axis != -len(tensor.shape):
        raise InputError(f"{call.where}: Flatten must keep the batch (axis 1), not axis {axis}")
    _reshaped(network, call, tensor, (prod(tensor.shape),))


def reshape(network: Network, call: Call) -> None:
    """Another shape; the batch stays."""
    tensor = network.tensor(call.inputs[0], call.where)
    wanted = list(network.new_shape(call.inputs[1], call.where))
    size = prod(tensor.shape)
    rest = wanted[1:]
    if call.integer("allowzero", 0):
        _refuse_zeros(call, wanted)
    else:
        given = (0, *tensor.shape)
        for place, number in enumerate(wanted):
            if place and number == 0 and place < len(given):
                rest[place - 1] = given[place]
    known = prod(number for number in rest if number != -1)
    if rest.count(-1) == 1 and known > 0 and wanted[0] != -1:
        rest[rest.index(-1)] = size // known
    batch = network.file.batch or 1
    fits = bool(rest) and min(rest) > 0 and prod(rest) == size and wanted[0] in (-1, 0, batch)
    if not fits:
        raise InputError(
            f"{call.where}: Reshape must keep samples apart: {list(tensor.shape)} of a "
            f"sample cannot become {wanted}"
        )
    _reshaped(network, call, tensor, tuple(rest))


def _refuse_zeros(call: Call, wanted: Sequence[int]) -> None:
    if 0 in wanted:
        raise InputError(f"{call.where}: Reshape with allowzero to {wanted} leaves no elements")


def transpose(network: Network, call: Call) -> None:
    """Other order of dimensions, the batch among them."""
    tensor = network.tensor_of_any_order(call.inputs[0], call.where)
    batch, rank = network.batch_axis(call.inputs[0]), len(tensor.shape) + 1
    order = call.integers("perm") or tuple(reversed(range(rank)))
    if sorted(order) != list(range(rank)):
        raise InputError(f"{call.where}: perm must be an order of {rank} axes, not {order}")
    places = np.expand_dims(network.places(tensor, call.where), batch).transpose(order)
    moved = order.index(batch)
    network.rearrange(call, tensor, places.squeeze(moved), moved)


def _axes(network: Network, call: Call) -> tuple[int, ...] | None:
    if call.given(1):
        return network.integers(call.given(1), call.where, "axes")
    return call.integers("axes")


def squeeze(network: Network, call: Call) -> None:
    """Without dimensions of one element."""
    tensor = network.tensor_of_any_order(call.inputs[0], call.where)
    axes, batch = _axes(network, call), network.batch_axis(call.inputs[0])
    rank = len(tensor.shape) + 1
    if axes == ():
        raise InputError(f"{call.where}: {EMPTY_AXES}")
    if axes is None or any(not -rank <= axis < rank or axis % rank == batch for axis in axes):
        raise InputError(f"{call.where}: Squeeze needs axes beside the batch, not {axes}")
    gone = {axis % rank for axis in axes}
    sizes = (*tensor.shape[:batch], 0, *tensor.shape[batch:])
    kept = tuple(size for axis, size in enumerate(sizes) if size and axis not in gone)
    if not kept or prod(kept) != prod(tensor.shape):
        raise InputError(f"{call.where}: Squeeze of axes {axes} does not fit {tensor.shape}")
    places = network.places(tensor, call.where).reshape(kept)
    network.rearrange(call, tensor, places, batch - sum(axis < batch for axis in gone))


def unsqueeze(network: Network, call: Call) -> None:
    """With more dimensions of one element."""
    tensor = network.tensor(call.inputs[0], call.where)
    axes = _axes(network, call) or ()
    rank = len(tensor.shape) + 1 + len(axes)
    places = {axis % rank for axis in axes}
    if len(places) != len(axes) or 0 in places or any(not -rank <= a < rank for a in axes):
        raise InputError(f"{call.where}: Unsqueeze needs axes after the batch, not {axes}")
    sizes = iter(tensor.shape)
    wanted = tuple(1 if axis in places else next(sizes) for axis in range(1, rank))
    _reshaped(network, call, tensor, wanted)


def sample_axis(call: Call, axis: int, tensor: Tensor) -> int:
    """An axis of a sample."""
    rank = len(tensor.shape) + 1
    if not -rank <= axis < rank or axis % rank == 0:
        raise InputError(
            f"{call.where}: {call.kind} must be along an axis from 1 to {rank - 1}, not {axis}"
        )
    return axis % rank - 1


def softmax(network: Network, call: Call) -> None:
    """Softmax over the channels, whichever axis they are, or over all of a sample."""
    tensor = network.tensor(call.inputs[0], call.where)
    coerced = network.file.opset < 13
    axis = sample_axis(call, call.integer("axis", 1 if coerced else -1), tensor)
    axes = range(axis, len(tensor.shape)) if coerced else [axis]
    wide = [a for a in axes if tensor.shape[a] > 1] or [axis]
    name, output = network.label(call), call.outputs[0]
    if prod(tensor.shape[a] for a in wide) == prod(tensor.shape):
        flat = arranged(tensor.value, network.shape(tensor.value), tensor.places.reshape(-1))
        value = network.vector(flat)
        tensor = replace(value, shape=tensor.shape, order=value.places.reshape(tensor.shape))
    elif len(wide) == 1:
        tensor, _ = network.by_channel(tensor, wide[0], call.where)
    else:
        raise InputError(
            f"{call.where}: Softmax of operator set {network.file.opset} is over all axes from "
            f"{axis + 1} on together, which must be the channels or all, of (N, "
            f"{', '.join(map(str, tensor.shape))})"
        )
    network.elementwise(call, tensor, network.emit(name, Softmax(), (tensor.value,), output))


def shape(network: Network, call: Call) -> None:
    """The shape as a constant; the batch, where it is open, as 0, which Reshape copies."""
    given, batch, name = call.inputs[0], network.file.batch, call.outputs[0]
    if given in network.numbers:
        sizes = network.numbers[given][1].shape
    else:
        sizes = network.tensor(given, call.where).shape
    cut = slice(call.integer("start", 0), call.integer("end", len(sizes) + 1))
    network.constants[name] = np.array([batch or 0, *sizes], np.int64)[cut]
    if not batch:
        other = np.array([OTHER_BATCH, *sizes], np.int64)[cut]
        network.note_other(name, other)
