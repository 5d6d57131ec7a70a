"""ONNX's Concat: side by side as channels, or one behind the other as rows and columns."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from pulsarray.compiler.importers.onnx.file import Call
from pulsarray.compiler.importers.onnx.orders import (
    Ints,
    arranged,
    channel_axis,
    crossings,
    places_at,
)
from pulsarray.compiler.importers.onnx.shapes import sample_axis
from pulsarray.compiler.importers.onnx.tensors import Network, Tensor
from pulsarray.compiler.ops.concat import Concat
from pulsarray.errors import InputError

__all__ = ["concat", "parts_of"]


def concat(network: Network, call: Call) -> None:
    """Values side by side along an axis."""
    tensors = network.aligned(call.inputs, call.where)
    axis, rank = call.integer("axis", 1), len(tensors[0].shape) + 1
    if network.file.batch == 1 and (tensors[0].batch_axis or axis in (0, -rank)):
        tensors = [network.whole(tensor) for tensor in tensors]
    batch, axis = tensors[0].batch_axis, sample_axis(call, axis, tensors[0])
    _check_joinable(call, tensors, axis)
    if _follow(network, tensors, axis):
        _as_pixels(network, call, tensors, axis)
    else:
        _as_channels(network, call, tensors, axis)
    network.define(call.outputs[0], network.input_of(call.outputs[0], call.where), batch)


def _check_joinable(call: Call, tensors: Sequence[Tensor], axis: int) -> None:
    shapes = [(*t.shape[:axis], *t.shape[axis + 1 :]) for t in tensors]
    if len({len(t.shape) for t in tensors}) > 1 or len(set(shapes)) > 1:
        raise InputError(
            f"{call.where}: Concat needs inputs that differ along axis {axis + 1} only, not "
            + ", ".join(str(tensor.shape) for tensor in tensors)
        )


def _follow(network: Network, tensors: Sequence[Tensor], axis: int) -> bool:
    """Whether values can follow one another: maps of as many channels, which the axis is not."""
    shapes = [network.shape(tensor.value) for tensor in tensors]
    if network.learns or len({shape[-1] for shape in shapes}) > 1 or min(map(len, shapes)) < 3:
        return False
    return all(channel_axis(tensor, shapes[0][-1], axis) is None for tensor in tensors)


def _as_pixels(network: Network, call: Call, tensors: Sequence[Tensor], axis: int) -> None:
    """Columns beside columns, rows behind rows, or all pixels of each behind the other's."""
    names, shapes = [t.value for t in tensors], [network.shape(t.value) for t in tensors]
    if all(tensor.order is None for tensor in tensors) and axis == len(tensors[0].shape) - 1 > 1:
        made = network.emit(network.label(call), Concat(-2), names, call.outputs[0])
        columns = network.shape(made.value)[1]
        network.define(call.outputs[0], Tensor(made.value, (*tensors[0].shape[:-1], columns)))
        return
    along = -3
    if len({shape[1] for shape in shapes}) > 1:
        names, along = [network.with_pixels(n, (1, prod(network.shape(n)[:2]))) for n in names], -2
    made = network.emit(network.label(call), Concat(along), names, call.outputs[0])
    starts = np.cumsum([0, *map(prod, shapes)])
    places = [t.places + start for t, start in zip(tensors, starts, strict=False)]
    network.rearrange(call, made, np.concatenate(places, axis))


def _as_channels(network: Network, call: Call, tensors: Sequence[Tensor], axis: int) -> None:
    """Values side by side along an axis that is that of the channels in every one."""
    pairs = [network.by_channel(tensor, axis, call.where) for tensor in tensors]
    if not _have_one_grid(network, [tensor for tensor, _ in pairs], axis):
        firsts = [_moved(network, tensor, axis, 0) for tensor in tensors]
        made = [network.usual(tensor, call.where) for tensor in firsts]
        tensors = [_moved(network, tensor, 0, axis) for tensor in made]
        pairs = [network.by_channel(tensor, axis, call.where) for tensor in tensors]
    names = tuple(tensor.value for tensor, _ in pairs)
    joined = network.emit(network.label(call), Concat(), names, call.outputs[0])
    channels = network.shape(joined.value)[-1]
    starts = np.cumsum([0, *(len(order) for _, order in pairs)])
    orders = [order + start for (_, order), start in zip(pairs, starts, strict=False)]
    grid = _grid(network, pairs[0][0], axis)
    places = grid[..., None] * channels + np.concatenate(orders)
    network.rearrange(call, joined, np.moveaxis(places, -1, axis))


def parts_of(network: Network, value: str, places: Ints, output: str) -> tuple[str, Ints]:
    """Those values that stand side by side in one of which elements are, and their places there.

    A value that is none of others is that alone; of a step of a sequence its state.
    """
    while value in network.joined:
        axis, names = network.joined[value]
        sizes = [(1, 1, *network.shape(name))[-3:] for name in (value, *names)]
        lines, ends = [*crossings(places, sizes[0])], np.cumsum([size[axis] for size in sizes[1:]])
        low, high = np.searchsorted(ends, (lines[axis].min(), lines[axis].max()), "right")
        lines[axis] = lines[axis] - (ends[low - 1] if low else 0)
        some = names[low : high + 1]
        if len(some) == len(names):
            break
        value = some[0] if len(some) == 1 else _some_of(network, value, some, axis, output)
        places = places_at(lines, (1, 1, *network.shape(value))[-3:])
        if len(some) > 1:
            break
    return value, places


def _some_of(network: Network, value: str, names: Sequence[str], axis: int, output: str) -> str:
    """Some values side by side of those that are."""
    known = [v for v, joined in network.joined.items() if joined == (axis, tuple(names))]
    if known:
        return known[0]
    name = network.fresh(f"{output} parts of {value}")
    return network.emit(name, Concat(axis), names, name).value


def _moved(network: Network, tensor: Tensor, start: int, end: int) -> Tensor:
    places = np.moveaxis(tensor.places, start, end)
    return arranged(tensor.value, network.shape(tensor.value), places)


def _grid(network: Network, tensor: Tensor, axis: int) -> Ints:
    """The pixel of each element but along the axis of the channels."""
    channels = network.shape(tensor.value)[-1]
    return np.asarray(np.moveaxis(tensor.places, axis, -1)[..., 0] // channels)


def _have_one_grid(network: Network, tensors: Sequence[Tensor], axis: int) -> bool:
    shapes = {network.shape(tensor.value)[:-1] for tensor in tensors}
    grids = [_grid(network, tensor, axis) for tensor in tensors]
    return len(shapes) == 1 and all(np.array_equal(grid, grids[0]) for grid in grids)
