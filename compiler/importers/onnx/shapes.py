"""ONNX operators that change shape and order alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod

import numpy as np
import onnx

from pulsarray.compiler.importers.onnx.constants import EMPTY_AXES
from pulsarray.compiler.importers.onnx.file import FLOATS, Call, element_name
from pulsarray.compiler.importers.onnx.orders import NO_AXIS, Ints, arranged
from pulsarray.compiler.importers.onnx.tensors import BATCH, OTHER_BATCH, Network, Tensor
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


def flatten(network: Network, call: Call) -> None:
    """All elements of a sample in one dimension."""
    tensor, axis = network.tensor_of_any_order(call.inputs[0], call.where), call.integer("axis", 1)
    if network.file.batch == 1:
        places = tensor.whole_places
        rows = prod(places.shape[: axis % places.ndim if axis < places.ndim else axis])
        network.rearrange(call, tensor, places.reshape(rows, -1), NO_AXIS)
        return
    tensor = network.tensor(call.inputs[0], call.where)
    if axis != 1 and axis != -len(tensor.shape):
        raise InputError(f"{call.where}: Flatten must keep the batch (axis 1), not axis {axis}")
    network.rearrange(call, tensor, network.places(tensor, call.where).reshape(-1))


def reshape(network: Network, call: Call) -> None:
    """Another shape; the batch stays."""
    tensor = network.tensor_of_any_order(call.inputs[0], call.where)
    wanted = list(network.new_shape(call.inputs[1], call.where))
    places, axis = network.places(tensor, call.where), tensor.batch_axis
    if network.file.batch == 1:
        places, axis = tensor.whole_places, NO_AXIS
    sizes = [*places.shape] if axis == NO_AXIS else [*np.expand_dims(places, axis).shape]
    if call.integer("allowzero", 0):
        _refuse_zeros(call, wanted)
    filled = [sizes[k] if n == 0 and k < len(sizes) else n for k, n in enumerate(wanted)]
    rest = filled if axis == NO_AXIS else _apart(network, filled, axis)
    known = prod(number for number in rest if number != -1)
    if rest.count(-1) == 1 and known > 0:
        rest[rest.index(-1)] = places.size // known
    parts = slice(0, max(axis, 0))
    if (
        not rest
        or min(rest) < 1
        or prod(rest) != places.size
        or (prod(rest[parts]) != prod(places.shape[parts]))
    ):
        sample = [number for number in wanted if number != BATCH]
        raise InputError(
            f"{call.where}: Reshape must keep samples apart: {list(tensor.shape)} of a "
            f"sample cannot become {sample if axis == NO_AXIS else wanted}"
        )
    network.rearrange(call, tensor, places.reshape(rest), axis)


def _apart(network: Network, sizes: list[int], axis: int) -> list[int]:
    """Sizes of a sample among those of all; none if the batch is not the axis that it must be."""
    kept = axis < len(sizes) and sizes[axis] in (-1, 1, BATCH, network.file.batch or 1)
    return [*sizes[:axis], *sizes[axis + 1 :]] if kept else []


def _refuse_zeros(call: Call, wanted: Sequence[int]) -> None:
    if 0 in wanted:
        raise InputError(f"{call.where}: Reshape with allowzero to {wanted} leaves no elements")


def transpose(network: Network, call: Call) -> None:
    """Other order of dimensions, the batch among them."""
    tensor = network.tensor_of_any_order(call.inputs[0], call.where)
    batch, places = tensor.batch_axis, network.places(tensor, call.where)
    places = tensor.whole_places
    order = call.integers("perm") or tuple(reversed(range(places.ndim)))
    if sorted(order) != list(range(places.ndim)):
        raise InputError(f"{call.where}: perm must be an order of {places.ndim} axes, not {order}")
    moved, places = NO_AXIS, places.transpose(order)
    if batch != NO_AXIS:
        moved = order.index(batch)
        places = places.squeeze(moved)
    network.rearrange(call, tensor, places, moved)


def _axes(network: Network, call: Call) -> tuple[int, ...] | None:
    if call.given(1):
        return network.integers(call.given(1), call.where, "axes")
    return call.integers("axes")


def squeeze(network: Network, call: Call) -> None:
    """Without dimensions of one element."""
    tensor = network.tensor_of_any_order(call.inputs[0], call.where)
    axes, batch, places = _axes(network, call), tensor.batch_axis, tensor.whole_places
    if network.file.batch == 1:
        batch = NO_AXIS
        if axes is None:
            axes = tuple(axis for axis, size in enumerate(places.shape) if size == 1)
    rank = places.ndim
    if axes == () and call.inputs[1:]:
        raise InputError(f"{call.where}: {EMPTY_AXES}")
    if axes is None or any(not -rank <= axis < rank or axis % rank == batch for axis in axes):
        raise InputError(f"{call.where}: Squeeze needs axes beside the batch, not {axes}")
    gone = {axis % rank for axis in axes}
    kept = tuple(size for axis, size in enumerate(places.shape) if axis not in gone)
    if len(kept) < 2 * (batch != NO_AXIS) or prod(kept) != places.size:
        raise InputError(f"{call.where}: Squeeze of axes {axes} does not fit {tensor.shape}")
    _redefined(network, call, tensor, places.reshape(kept), batch - sum(a < batch for a in gone))


def unsqueeze(network: Network, call: Call) -> None:
    """With more dimensions of one element."""
    tensor = network.tensor_of_any_order(call.inputs[0], call.where)
    axes, batch, places = _axes(network, call) or (), tensor.batch_axis, tensor.whole_places
    rank = places.ndim + len(axes)
    new = {axis % rank for axis in axes}
    if len(new) != len(axes) or any(not -rank <= axis < rank for axis in axes):
        raise InputError(f"{call.where}: Unsqueeze needs axes of the result, not {axes}")
    old = [axis for axis in range(rank) if axis not in new]
    moved = NO_AXIS if batch == NO_AXIS else old[batch]
    _redefined(network, call, tensor, np.expand_dims(places, tuple(new)), moved)


def _redefined(network: Network, call: Call, tensor: Tensor, places: Ints, batch_axis: int) -> None:
    """Make a result of the same elements, which have one axis more than those of a sample."""
    if batch_axis != NO_AXIS:
        places = places.squeeze(batch_axis)
    network.rearrange(call, tensor, places, batch_axis)


def sample_axis(call: Call, axis: int, tensor: Tensor) -> int:
    """An axis of a sample."""
    batch = tensor.batch_axis
    rank = len(tensor.shape) + (batch != NO_AXIS)
    if not -rank <= axis < rank or axis % rank == batch:
        axes = f"an axis from 1 to {rank - 1}" if batch == 0 else f"axes beside {batch}, the batch"
        raise InputError(f"{call.where}: {call.kind} must be along {axes}, not {axis}")
    return axis % rank - (NO_AXIS < batch < axis % rank)


def softmax(network: Network, call: Call) -> None:
    """Softmax over the channels, whichever axis they are, or over all of a sample."""
    tensor = network.tensor_of_any_order(call.inputs[0], call.where)
    if tensor.batch_axis and network.file.batch == 1:
        tensor = network.whole(tensor)
    coerced, batch = network.file.opset < 13, tensor.batch_axis
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
    made = network.emit(name, Softmax(), (tensor.value,), output)
    network.elementwise(call, replace(tensor, batch_axis=batch), made)


def shape(network: Network, call: Call) -> None:
    """The shape as a constant; the batch, where it is open, as 0, which Reshape copies."""
    source, batch, name = call.inputs[0], network.file.batch, call.outputs[0]
    axis, whole = 0, list[int]()
    if source in network.numbers:
        whole = [*network.numbers[source][1].shape]
    else:
        tensor = network.tensor_of_any_order(source, call.where)
        axis, whole = tensor.batch_axis, [*tensor.shape]
    if axis != NO_AXIS:
        whole.insert(axis, batch or 0)
    cut = slice(call.integer("start", 0), call.integer("end", len(whole)))
    network.constants[name] = np.array(whole, np.int64)[cut]
    if not batch:
        whole[axis] = OTHER_BATCH
        network.note_other(name, np.array(whole, np.int64)[cut])
