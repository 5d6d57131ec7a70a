"""ONNX operators that change shape and order alone."""

from __future__ import annotations

from math import prod

import numpy as np

from pulsarray.compiler.importers.onnx_file import Call
from pulsarray.compiler.importers.onnx_tensors import Network, Tensor
from pulsarray.compiler.spatial import Concat
from pulsarray.errors import InputError

__all__ = ["concat", "flatten", "identity", "reshape", "shape", "squeeze", "transpose", "unsqueeze"]


def identity(network: Network, call: Call) -> None:
    """The same again."""
    network.define(call.outputs[0], network.tensor(call.inputs[0], call.where))


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
    wanted = list(network.integers(call.inputs[1], call.where, "shape"))
    size = prod(tensor.shape)
    rest = wanted[1:]
    if not call.integer("allowzero", 0):
        given = (0, *tensor.shape)
        for place, number in enumerate(wanted):
            if place and number == 0 and place < len(given):
                rest[place - 1] = given[place]
    known = prod(number for number in rest if number != -1)
    if rest.count(-1) == 1 and known > 0 and wanted[0] != -1:
        rest[rest.index(-1)] = size // known
    fits = bool(rest) and min(rest) > 0 and prod(rest) == size and wanted[0] >= -1
    if not fits or not (network.images or len(rest) == 1):
        if network.images:
            raise InputError(
                f"{call.where}: Reshape must keep samples apart: {list(tensor.shape)} of a "
                f"sample cannot become {wanted}"
            )
        raise InputError(f"{call.where}: Reshape must be to (batch, {size}), not {wanted}")
    _reshaped(network, call, tensor, tuple(rest))


def transpose(network: Network, call: Call) -> None:
    """Other order of dimensions; the batch stays first."""
    tensor = network.tensor(call.inputs[0], call.where)
    rank = len(tensor.shape) + 1
    order = call.integers("perm") or tuple(reversed(range(rank)))
    if sorted(order) != list(range(rank)) or order[0] != 0:
        raise InputError(f"{call.where}: Transpose must keep the batch first, not {order}")
    places = network.places(tensor, call.where).transpose([axis - 1 for axis in order[1:]])
    network.rearrange(call, tensor, places)


def _axes(network: Network, call: Call) -> tuple[int, ...] | None:
    if call.given(1):
        return network.integers(call.given(1), call.where, "axes")
    return call.integers("axes")


def squeeze(network: Network, call: Call) -> None:
    """Without dimensions of one element."""
    tensor = network.tensor(call.inputs[0], call.where)
    axes = _axes(network, call)
    rank = len(tensor.shape) + 1
    if axes is None or any(not -rank <= axis < rank or axis % rank == 0 for axis in axes):
        raise InputError(f"{call.where}: Squeeze needs axes after the batch, not {axes}")
    gone = {axis % rank - 1 for axis in axes}
    kept = tuple(size for axis, size in enumerate(tensor.shape) if axis not in gone)
    if not kept or prod(kept) != prod(tensor.shape):
        raise InputError(f"{call.where}: Squeeze of axes {axes} does not fit {tensor.shape}")
    _reshaped(network, call, tensor, kept)


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


def concat(network: Network, call: Call) -> None:
    """Values side by side along the channels."""
    tensors = [network.tensor(name, call.where) for name in call.inputs]
    rank = len(tensors[0].shape) + 1
    axis = call.integer("axis", 1)
    if axis not in (1, 1 - rank):
        raise InputError(f"{call.where}: Concat must be along the channels (axis 1), not {axis}")
    names = tuple(network.usual(tensor, call.where).value for tensor in tensors)
    network.emit_as(call, Concat(network.label(call), names, call.outputs[0]))


def shape(network: Network, call: Call) -> None:
    """The shape as a constant; the batch, where it is open, as 0, which Reshape copies."""
    tensor = network.tensor(call.inputs[0], call.where)
    sizes = np.array([network.file.dims[0] or 0, *tensor.shape], np.int64)
    end = call.integer("end", len(sizes))
    network.constants[call.outputs[0]] = sizes[call.integer("start", 0) : end]
