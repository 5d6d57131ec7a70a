"""TensorFlow Lite's operators that only say in which order elements are."""

from __future__ import annotations

from dataclasses import replace
from math import prod

from pulsarray.compiler.importers.tflite.file import Operator, Tensor
from pulsarray.compiler.importers.tflite.network import Meaning, Network, map_shape
from pulsarray.compiler.importers.tflite.windows import same_quantization
from pulsarray.compiler.ir.formats import Affine8
from pulsarray.compiler.ir.value import Shape
from pulsarray.compiler.ops.integer import Join, Split
from pulsarray.errors import InputError

__all__ = ["reshape", "same_codes", "transpose"]


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
    given = network.tensor(operator, 0)
    if given is not None and not value.host:
        value = _ready(network, given, value, shape)
        same_codes(value.source.codes, tensor)
    if shape not in (value.source.shape, (1, 1, prod(shape))):
        index = operator.inputs[0]
        reads = sum(o.inputs.count(index) for o in network.file.operators)
        if index in network.inputs and reads == 1 and index not in network.file.outputs:
            value = replace(value, source=network.reshape_input(index, shape))
    network.values[tensor.index] = replace(value, shape=shape)


def _ready(network: Network, given: Tensor, value: Meaning, shape: Shape) -> Meaning:
    """A value whose elements are in order."""
    parts, width, channels = value.source.shape
    if not value.turned or shape != (1, width, parts * channels):
        return network.with_border(given, value)
    joined = network.between(given, "joined", Join(parts, rows=True), value.source, shape)
    return Meaning(joined, shape)


def transpose(network: Network, operator: Operator) -> None:
    """TRANSPOSE of rows and columns; parts of channels become rows at once."""
    value, tensor = network.integers(operator), network.target(operator)
    value = network.plain(operator) if value.turned else value
    given = network.tensor(operator, 0)
    order = network.constant(operator, 1, "int32").reshape(-1).tolist()
    rank = len(given.shape) if given is not None else 0
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
    """Rows and columns, of which one may have size 1, change places."""
    tensor = network.target(operator)
    height, width, channels = value.shape
    kept = [axis for axis in order if value.shape[axis] > 1]
    if kept == sorted(kept):  # Nothing moves.
        shape = (value.shape[order[0]], value.shape[order[1]], value.shape[order[2]])
        network.values[tensor.index] = replace(network.plain(operator), shape=shape)
        return
    if order != [1, 0, 2]:
        raise InputError(f"only rows and columns can change places, not {value.shape} to {order}")
    row = value.source.shape == (1, height, width * channels)
    if row and value.padding == (0, 0, 0, 0):
        op = Split(width, rows=True)
        made = network.between(tensor, "parts", op, value.source, (width, height, channels))
        network.values[tensor.index] = Meaning(made, made.shape)
        return
    source = network.image(operator)
    network.values[tensor.index] = Meaning(source, (width, height, channels), turned=True)
