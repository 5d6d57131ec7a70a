"""Pad with zeros along axes of a file that are rows, columns or channels of a value."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pulsarray.compiler.importers.onnx.file import Call
from pulsarray.compiler.importers.onnx.orders import Ints, Tensor, arranged, crossings, places_at
from pulsarray.compiler.importers.onnx.tensors import Network
from pulsarray.compiler.ir.window import Window
from pulsarray.compiler.ops.convolution import Convolution
from pulsarray.compiler.ops.pad import Pad

__all__ = ["pad_value"]


def pad_value(
    network: Network, call: Call, tensor: Tensor, first: Sequence[int], last: Sequence[int]
) -> bool:
    """Zeros before and behind axes of a tensor; whether that is possible in its value."""
    shape = network.shape(tensor.value)
    if len(shape) < 3 or min(*first, *last) < 0 or first[0] or last[0]:
        return False
    lines = list(crossings(tensor.places, shape))
    sides = dict.fromkeys(range(3), (0, 0))
    for place, pair in enumerate(zip(first[1:], last[1:], strict=True)):
        if not any(pair):
            continue
        along = np.arange(tensor.shape[place])
        along = along.reshape(-1, *[1] * (len(tensor.shape) - 1 - place))
        axes = [k for k in range(3) if shape[k] == along.size and (lines[k] == along).all()]
        if not axes or any(sides[axes[0]]):
            return False
        sides[axes[0]] = pair
        lines = _wider(lines, place, axes[0], along.size + sum(pair))
    value = _padded(network, call, tensor.value, sides)
    places = places_at(lines, network.shape(value))
    network.define(call.outputs[0], arranged(value, network.shape(value), places))
    return True


def _wider(lines: Sequence[Ints], place: int, axis: int, size: int) -> list[Ints]:
    """Rows, columns and channels of a tensor's elements after it got larger along an axis."""
    wide = [line.take(np.zeros(size, np.int64), place) for line in lines]
    rank = wide[axis].ndim
    wide[axis] = np.broadcast_to(
        np.arange(size).reshape(-1, *[1] * (rank - 1 - place)), wide[axis].shape
    )
    return wide


def _padded(network: Network, call: Call, value: str, sides: dict[int, tuple[int, int]]) -> str:
    """A map with zeros around rows and columns, then channels, which is a product."""
    (top, bottom), (left, right), (before, behind) = sides.values()
    name, channels = network.label(call), network.shape(value)[2]
    if any((top, bottom, left, right)):
        output = network.fresh(f"{call.outputs[0]} around")
        value = network.emit(name, Pad((top, left, bottom, right)), (value,), output).value
        name = output
    if before or behind:
        weight = np.eye(channels, before + channels + behind, before)[None, None]
        constants = {"weight": weight, "bias": np.zeros(weight.shape[3])}
        output = network.fresh(f"{call.outputs[0]} beside")
        op = Convolution(Window((1, 1)))
        value = network.emit(name, op, (value,), output, constants=constants).value
    return value
