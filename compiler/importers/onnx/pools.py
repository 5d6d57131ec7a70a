"""ONNX operators that look at windows of an image without weights."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np

from pulsarray.compiler.importers.onnx import linear, reductions
from pulsarray.compiler.importers.onnx.copies import COPIES, pad_with_copies
from pulsarray.compiler.importers.onnx.file import Call
from pulsarray.compiler.importers.onnx.layers import size_of
from pulsarray.compiler.importers.onnx.margins import pad_value
from pulsarray.compiler.importers.onnx.orders import NO_AXIS, arranged, channel_axis
from pulsarray.compiler.importers.onnx.tensors import Network, Tensor
from pulsarray.compiler.importers.onnx.windows import lifted, pool_window
from pulsarray.compiler.ir.window import Window
from pulsarray.compiler.ops.pad import Pad
from pulsarray.compiler.ops.pooling import AveragePool, MaxPool
from pulsarray.errors import InputError

__all__ = [
    "average_pool",
    "global_average_pool",
    "global_max_pool",
    "max_pool",
    "pad",
    "reduce_mean",
]


_SMALL = 1 << 10
"""Elements that are padded in any way by one product."""


def max_pool(network: Network, call: Call) -> None:
    """The largest of each window."""
    if any(network.uses[name] for name in call.outputs[1:] if name):
        raise InputError(f"{call.where}: MaxPool's indices are not supported")
    tensor = network.image(call.inputs[0], call.where)
    rank = len(tensor.shape)
    made, _ = pool_window(lifted(call, rank), size_of(tensor))
    network.emit_as(call, rank, MaxPool(made), tensor.value)


def average_pool(network: Network, call: Call) -> None:
    """The mean of each window; padding may count, what ``ceil_mode`` adds never does."""
    tensor = network.image(call.inputs[0], call.where)
    rank = len(tensor.shape)
    made, extra = pool_window(lifted(call, rank), size_of(tensor))
    name, include = network.label(call), bool(call.integer("count_include_pad", 0))
    value = tensor.value
    if include and any(extra):
        top, left, bottom, right = made.padding
        output = network.fresh(f"{call.outputs[0]} padded")
        padding = (top, left, bottom - extra[0], right - extra[1])
        value = network.emit(f"{name} padding", Pad(padding), (value,), output).value
        made = Window(made.kernel, made.stride, (0, 0, *extra), made.dilation)
        include = False
    include = include and any(made.padding)
    network.emit_as(call, rank, AveragePool(made, include), value, name=name)


def _reduced(network: Network, call: Call, kind: type[AveragePool | MaxPool], axis: int) -> Tensor:
    """One number a channel, which an axis is, the other axes of one element.

    Of a vector there is one number of each already.
    """
    tensor = network.tensor(call.inputs[0], call.where)
    if len(tensor.shape) < 2:
        tensor = network.image(call.inputs[0], call.where)
    tensor, order = network.by_channel(tensor, axis, call.where)
    value = network.shape(tensor.value)
    made = tensor
    if len(value) == 3:
        name, output = network.label(call), network.fresh(call.outputs[0])
        made = network.emit(name, kind(Window((value[0], value[1]))), (tensor.value,), output)
    shape = [1] * len(tensor.shape)
    shape[axis] = len(order)
    return arranged(made.value, network.shape(made.value), order.reshape(shape))


def global_average_pool(network: Network, call: Call) -> None:
    """The mean of each channel."""
    network.define(call.outputs[0], _reduced(network, call, AveragePool, 0))


def global_max_pool(network: Network, call: Call) -> None:
    """The largest of each channel."""
    network.define(call.outputs[0], _reduced(network, call, MaxPool, 0))


def reduce_mean(network: Network, call: Call) -> None:
    """The mean along axes; over all but that of the channels it is a pooling."""
    tensor, before = network.sample(call.inputs[0], call.where)
    rank, value = len(tensor.shape) + 1, network.shape(tensor.value)
    axes = reductions.named_axes(network, call)
    kept = {*range(1, rank)} - {axis % rank for axis in axes if -rank <= axis < rank}
    pools = before == 1 and len(kept) == 1 and len(axes) == rank - 2 and rank > 2
    if pools and len(value) == 3:
        pools = channel_axis(tensor, value[-1], min(kept) - 1) is not None
    if not pools:
        reductions.reduce(network, call)
        return
    made = _reduced(network, call, AveragePool, kept.pop() - 1)
    network.define(call.outputs[0], made)
    if not call.integer("keepdims", 1):
        network.rearrange(call, made, network.places(made, call.where).reshape(-1))


def pad(network: Network, call: Call) -> None:
    """Zeros or copies around rows and columns, or anything around any axis of few elements."""
    tensor, before = network.sample(call.inputs[0], call.where)
    rank = len(tensor.shape) + before
    first, last = _padding(network, call, rank)
    if not before:
        _pad_whole(network, call, [0, *first, 0, *last])
        return
    zeros = call.text("mode", "constant") == "constant" and not call.number("value", 0.0)
    if name := call.given(2):
        zeros = zeros and not network.constant(name, call.where, "value").any()
    mode = call.text("mode", "constant")
    if mode in COPIES and prod(tensor.shape) > _SMALL:
        pad_with_copies(network, call, list(zip(first, last, strict=True)))
        return
    inside = tensor.order is not None or first[1] or last[1]
    if zeros and inside and pad_value(network, call, tensor, first, last):
        return
    if not zeros or rank not in (3, 4) or any(first[:2] + last[:2]) or min(first + last) < 0:
        linear.affine(network, call)
        return
    tensor = network.image(call.inputs[0], call.where)
    top, bottom = (first[2], last[2]) if rank == 4 else (0, 0)
    padding = (top, first[rank - 1], bottom, last[rank - 1])
    network.emit_as(call, rank - 1, Pad(padding), tensor.value)


def _pad_whole(network: Network, call: Call, sides: list[int]) -> None:
    """A Pad of one sample of all axes: as if it had another before them."""
    output = call.outputs[0]
    if len(sides) == 6:
        network.ask_for_rows(call.inputs[0], call.where)
    source, pads = network.with_first_axis(call.inputs[0], call.where), network.fresh("pads")
    if call.given(1):
        network.constants[pads] = np.array(sides)
        call = replace(call, inputs=(source, pads, call.given(2)))
    else:
        call = replace(call, inputs=(source,), attributes={**call.attributes, "pads": sides})
    pad(network, call)
    network.define(output, network.tensor(output, call.where), NO_AXIS)


def _padding(network: Network, call: Call, rank: int) -> tuple[list[int], list[int]]:
    """Elements before and behind each axis."""
    sides = call.integers("pads")
    if call.given(1):
        sides = network.integers(call.given(1), call.where, "pads")
    axes: tuple[int, ...] = tuple(range(rank))
    if call.given(3):
        axes = network.integers(call.given(3), call.where, "axes")
    if sides is None or len(sides) != 2 * len(axes):
        raise InputError(f"{call.where}: Pad needs two numbers for each axis, not {sides}")
    if len({axis % rank for axis in axes}) < len(axes):
        raise InputError(f"{call.where}: Pad has an axis twice among {axes}")
    first, last = [0] * rank, [0] * rank
    for place, axis in enumerate(axes):
        if not -rank <= axis < rank:
            raise InputError(f"{call.where}: Pad has no axis {axis}")
        first[axis], last[axis] = sides[place], sides[place + len(axes)]
    return first, last
