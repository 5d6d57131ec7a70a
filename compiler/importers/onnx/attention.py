"""ONNX operators of transformers: layer normalization, products of two values."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np

from pulsarray.compiler.importers.onnx import layers
from pulsarray.compiler.importers.onnx.file import Call
from pulsarray.compiler.importers.onnx.orders import Ints, Shape, arranged, channel_axis
from pulsarray.compiler.importers.onnx.tensors import Network, Tensor
from pulsarray.compiler.ir.value import Floats
from pulsarray.compiler.ops.layer_norm import LayerNorm
from pulsarray.compiler.ops.matmul import MatMul
from pulsarray.errors import InputError

__all__ = ["layer_norm", "matmul"]


def layer_norm(network: Network, call: Call) -> None:
    """Layer or root-mean-square normalization along an axis and all behind it."""
    tensor = network.tensor(call.inputs[0], call.where)
    rank, axis = len(tensor.shape) + 1, call.integer("axis", -1)
    if not -rank <= axis < rank or axis % rank == 0:
        raise InputError(
            f"{call.where}: {call.kind} must be along axes from 1 to {rank - 1} on, not {axis}"
        )
    if any(network.uses.get(name, 0) for name in call.outputs[1:] if name):
        raise InputError(f"{call.where}: {call.kind}'s mean and deviation are not supported")
    axes = tensor.shape[axis % rank - 1 :]
    rows, order = _as_rows(network, tensor, prod(axes), call.where)
    operands = {"scale": np.ones(axes), "shift": np.zeros(axes)}
    for what, name in zip(operands, call.inputs[1:], strict=False):
        if name:
            operands[what] = network.constant(name, call.where, what)
    learned = {what: _spread(call, data, axes)[order] for what, data in operands.items()}
    op = LayerNorm(call.number("epsilon", 1e-5), call.kind == "LayerNormalization")
    made = network.emit(network.label(call), op, (rows.value,), call.outputs[0], learned)
    network.elementwise(
        call, replace(rows, shape=tensor.shape, order=rows.places.reshape(tensor.shape)), made
    )


def _spread(call: Call, data: Floats, axes: Shape) -> Floats:
    """A constant as one number for each element of the last axes."""
    try:
        return np.broadcast_to(data, axes).reshape(-1)
    except ValueError:
        raise InputError(
            f"{call.where}: scale and bias must fit {axes}, not {data.shape}"
        ) from None


def _as_rows(network: Network, tensor: Tensor, columns: int, where: str) -> tuple[Tensor, Ints]:
    """A tensor as rows that are channels of its value; the element that each channel is."""
    rows = arranged(tensor.value, network.shape(tensor.value), tensor.places.reshape(-1, columns))
    if len(rows.shape) and rows.shape[0] == 1:
        rows = network.flat(rows)
    rows, channels = network.by_channel(rows, 1, where)
    return rows, np.argsort(channels)


def matmul(network: Network, call: Call) -> None:
    """A product with a constant matrix, or of two values."""
    if any(network.is_constant(name) for name in call.inputs):
        layers.matmul(network, call)
    else:
        _matrices(network, call)


def _matrices(network: Network, call: Call) -> None:
    """Products of the matrices in the last two axes of two values."""
    tensors = network.aligned(call.inputs, call.where)
    if tensors[0].batch_axis and network.file.batch == 1:
        tensors = [network.whole(tensor) for tensor in tensors]
    elif tensors[0].batch_axis:
        tensors = [network.tensor(name, call.where) for name in call.inputs]
    batch = tensors[0].batch_axis
    shapes = [tensor.shape for tensor in tensors]
    if any(len(shape) not in (2, 3) for shape in shapes):
        raise InputError(
            f"{call.where}: two values must have shape (N, rows, columns), or one axis more, "
            f"not {', '.join(str(('N', *shape)) for shape in shapes)}"
        )
    tensors = [_with_columns(network, tensor, call.where) for tensor in tensors]
    turned = [_is_turned(network, tensor, call.where) for tensor in tensors]
    name, sources = network.label(call), [tensor.value for tensor in tensors]
    both = all(turned) and shapes[0][-1] == shapes[1][-2]
    if both:  # The product of both as they are, in the other order, is the result turned.
        sources, turned = sources[::-1], [False, False]
    made = network.emit(name, MatMul(*turned), sources, call.outputs[0])
    shape = network.shape(made.value)
    places = np.arange(np.prod(shape)).reshape(shape[3 - len(shapes[0]) :])
    places = places.swapaxes(-1, -2) if both else places
    network.define(call.outputs[0], arranged(made.value, shape, places), batch)


def _with_columns(network: Network, tensor: Tensor, where: str) -> Tensor:
    """A tensor whose columns, or else rows, are the channels of its value, the others its pixels.

    Heads that are groups of channels become rows of pixels.
    """
    *_, rows, columns = range(len(tensor.shape))
    for axis, other in ((columns, rows), (rows, columns)):
        in_rows = _in_rows(network, tensor, tensor.shape[other])
        if channel_axis(in_rows, network.shape(in_rows.value)[-1], axis) is not None:
            return in_rows
        if grouped := network.grouped(in_rows, axis):
            return grouped
    return network.by_channel(tensor, columns, where)[0]


def _in_rows(network: Network, tensor: Tensor, size: int) -> Tensor:
    """A tensor whose value has rows of so many pixels, where that is possible."""
    height, width, _ = (1, 1, *network.shape(tensor.value))[-3:]
    if width == size or height * width % size:
        return tensor
    value = network.with_pixels(tensor.value, (height * width // size, size))
    return arranged(value, network.shape(value), tensor.places)


def _matrix_shape(shape: Shape, turned: bool) -> Shape:
    """Shape of the value that a tensor of matrices is, rows and columns changed over or not."""
    *before, rows, columns = (1, *shape)[-3:]
    return (*before, columns, rows) if turned else (*before, rows, columns)


def _is_turned(network: Network, tensor: Tensor, where: str) -> bool:
    """Whether rows and columns of a value's matrices are columns and rows of the tensor.

    Raises
    ------
    InputError
        If they are neither.
    """
    shape, places = network.shape(tensor.value), tensor.places
    for turned in (False, True):
        matrix = places.swapaxes(-1, -2) if turned else places
        in_order = np.array_equal(matrix.reshape(-1), np.arange(places.size))
        if shape == _matrix_shape(tensor.shape, turned) and in_order:
            return turned
    raise InputError(
        f"{where}: rows and columns of (N, {', '.join(map(str, tensor.shape))}) are mixed with "
        "other axes by Reshape or Transpose, and no value moves between them"
    )
