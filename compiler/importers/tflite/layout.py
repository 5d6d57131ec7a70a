"""TensorFlow Lite's operators that only say in which order elements are."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np

from pulsarray.compiler.importers.tflite.file import Operator, Tensor
from pulsarray.compiler.importers.tflite.network import (
    NO_PADDING,
    Meaning,
    Network,
    copying,
    map_shape,
)
from pulsarray.compiler.importers.tflite.windows import same_quantization
from pulsarray.compiler.ir.formats import Affine8
from pulsarray.compiler.ir.value import Shape, Value
from pulsarray.compiler.ops.integer import Join, MatMul, Split, Swap
from pulsarray.errors import InputError

__all__ = ["columns_as_channels", "reshape", "same_codes", "transpose"]


def same_codes(source: Affine8, tensor: Tensor) -> None:
    """Refuse an operator that copies codes to a tensor of another quantization."""
    scales, zeros = tensor.scales.tolist(), tensor.zeros.tolist()
    if tensor.kind != "int8" or len(scales) != 1 or len(zeros) > 1:
        raise InputError(f"result {tensor.short!r} must be int8 with one scale and zero point")
    same_quantization(source, Affine8(scales[0], sum(zeros)))


def reshape(network: Network, operator: Operator) -> None:
    """RESHAPE, SQUEEZE, EXPAND_DIMS: what reads the result makes another map if it has to."""
    value, tensor = network.value(operator), network.target(operator)
    shape = map_shape(tensor, network.batch)
    if prod(shape) != prod(value.shape):
        raise InputError(f"shape {value.shape} has other elements than {shape}")
    source = network.tensor(operator, 0)
    if source is not None and not value.host:
        value = _ready(network, source, value, shape)
        same_codes(value.source.codes, tensor)
    if shape not in (value.source.shape, (1, 1, prod(shape))):
        index = operator.inputs[0]
        reads = sum(o.inputs.count(index) for o in network.file.operators)
        if index in network.inputs and reads == 1 and index not in network.file.outputs:
            value = replace(value, source=network.reshape_input(index, shape))
    network.values[tensor.index] = replace(value, shape=shape)


def _ready(network: Network, source: Tensor, value: Meaning, shape: Shape) -> Meaning:
    """A value whose elements are in order."""
    parts, width, channels = value.source.shape
    if not value.turned or shape != (1, width, parts * channels):
        return network.with_border(source, value)
    joined = network.between(source, "joined", Join(parts, rows=True), value.source, shape)
    return Meaning(joined, shape)


def transpose(network: Network, operator: Operator) -> None:
    """TRANSPOSE; parts of channels become rows at once."""
    value, tensor = network.integers(operator), network.target(operator)
    value = network.plain(operator) if value.turned else value
    source = network.tensor(operator, 0)
    order = network.constant(operator, 1, "int32").reshape(-1).tolist()
    rank = len(source.shape) if source is not None else 0
    if sorted(order) != [*range(rank)]:
        raise InputError(f"order {order} is none of {rank} axes")
    places = [axis + 3 - rank for axis in order if axis + 3 - rank >= 0]
    moved = [*range(3 - len(places)), *places]
    if sorted(moved) != [0, 1, 2] or (rank > 3 and order[: rank - 3] != [*range(rank - 3)]):
        raise InputError(f"order {order} moves the batch, which is not possible")
    same_codes(value.source.codes, tensor)
    shape = tuple(value.shape[axis] for axis in moved)
    if shape != map_shape(tensor, network.batch):
        raise InputError(f"result must have shape (H, W, C) = {shape}")
    _turn(network, operator, value, moved)


def _turn(network: Network, operator: Operator, value: Meaning, order: list[int]) -> None:
    """Axes in another order; those of size 1 are nowhere in particular."""
    tensor = network.target(operator)
    height, width, channels = value.shape
    shape = (value.shape[order[0]], value.shape[order[1]], value.shape[order[2]])
    kept = [axis for axis in order if value.shape[axis] > 1]
    if kept == sorted(kept):  # Nothing moves.
        network.values[tensor.index] = replace(network.plain(operator), shape=shape)
        return
    row = value.source.shape == (1, height, width * channels)
    if order == [1, 0, 2] and row and value.padding == NO_PADDING:
        made = network.between(tensor, "parts", Split(width, rows=True), value.source, shape)
        network.values[tensor.index] = Meaning(made, shape)
        return
    source, ways = network.image(operator), _WAYS[order[0], order[1], order[2]]
    for way in ways[:-1]:
        source = _swapped(network, tensor, source, way)
    if ways[-1] == "rows":
        network.values[tensor.index] = Meaning(source, shape, turned=True)
    else:
        network.values[tensor.index] = Meaning(columns_as_channels(network, tensor, source), shape)


_WAYS = {
    (0, 2, 1): ["channels"],
    (1, 0, 2): ["rows"],
    (1, 2, 0): ["rows", "channels"],
    (2, 0, 1): ["channels", "rows"],
    (2, 1, 0): ["channels", "rows", "channels"],
}
"""What changes places with columns, one after the other."""


def _swapped(network: Network, tensor: Tensor, source: Value, way: str) -> Value:
    if way == "channels":
        return columns_as_channels(network, tensor, source)
    height, width, channels = source.shape
    return network.between(tensor, "swapped", Swap(), source, (width, height, channels))


def columns_as_channels(network: Network, tensor: Tensor, source: Value) -> Value:
    """Columns as channels, in each row: the product of the identity and that, transposed."""
    height, width, channels = source.shape
    network.spend(height * channels**2)
    whole = np.broadcast_to(np.eye(channels, dtype=np.int8), (height, channels, channels))
    identity = network.parts.constant(f"{tensor.name}.identity", whole, Affine8(1.0))
    shape = (height, channels, width)
    made = network.parts.map(network.parts.free(f"{tensor.name}.turned"), shape, source.codes)
    op = MatMul(copying(source.codes.zero), transposed=True)
    name = network.node_name(tensor, ".turned")
    network.parts.add(name, op, (identity, source.name), made.name, "turned")
    return made
