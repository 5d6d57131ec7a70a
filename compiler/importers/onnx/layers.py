"""ONNX operators with weights: products, convolutions and normalizations."""

from __future__ import annotations

from math import prod

import numpy as np

from pulsarray.compiler.graph import Dense
from pulsarray.compiler.importers.onnx.file import Call
from pulsarray.compiler.importers.onnx.orders import Ints, arranged
from pulsarray.compiler.importers.onnx.tensors import Network, Tensor
from pulsarray.compiler.importers.onnx.windows import lifted, transposed_window, window
from pulsarray.compiler.ir.value import Floats
from pulsarray.compiler.ir.window import Window
from pulsarray.compiler.spatial import (
    BatchNorm,
    Convolution,
    LocalResponseNorm,
    TransposedConvolution,
)
from pulsarray.errors import InputError

__all__ = [
    "affine",
    "batch_norm",
    "conv",
    "conv_transpose",
    "gemm",
    "local_response_norm",
    "matmul",
    "row",
    "size_of",
]

_LARGEST_DIAGONAL = 1 << 12
"""Elements of a vector whose factors become a matrix."""


def matrix(network: Network, call: Call) -> Floats:
    """The constant weight of a product, (K, N)."""
    name = call.inputs[1]
    weight = network.constant(name, call.where, "weight")
    if weight.ndim != 2:
        raise InputError(f"{call.where}: weight {name!r} must be a matrix, not {weight.shape}")
    return weight.T if call.integer("transB", 0) else weight


def gemm(network: Network, call: Call) -> None:
    """``alpha * A * B + beta * C``."""
    if call.integer("transA", 0):
        raise InputError(f"{call.where}: Gemm with transA would mix the samples of a batch")
    tensor = network.tensor(call.inputs[0], call.where)
    weight = matrix(network, call)
    bias = np.zeros(weight.shape[1])
    if call.given(2):
        given = network.constant(call.given(2), call.where, "bias")
        bias = bias + call.number("beta", 1.0) * row(given, weight.shape[1], call.where)
    _dense(network, call, tensor, call.number("alpha", 1.0) * weight, bias)


def matmul(network: Network, call: Call) -> None:
    """A product with a constant matrix."""
    if network.is_constant(call.inputs[0]):
        raise InputError(f"{call.where}: MatMul must have the constant as its second operand")
    tensor = network.tensor(call.inputs[0], call.where)
    weight = matrix(network, call)
    _dense(network, call, tensor, weight, np.zeros(weight.shape[1]))


def _dense(network: Network, call: Call, tensor: Tensor, weight: Floats, bias: Floats) -> None:
    if tensor.shape[-1] != weight.shape[0]:
        raise InputError(
            f"{call.where}: input must have shape ({weight.shape[0]},), not {tensor.shape}"
        )
    if prod(tensor.shape) > weight.shape[0]:
        _dense_of_pixels(network, call, tensor, weight, bias)
        return
    row = network.vector(
        arranged(tensor.value, network.shapes[tensor.value], tensor.places.reshape(-1))
    )
    weight = _reordered(weight, row.order)
    node = Dense(network.label(call), row.value, call.outputs[0], weight, bias)
    made = network.emit(node)
    if len(tensor.shape) > 1:
        network.rearrange(call, made, made.places.reshape(*tensor.shape[:-1], -1))
    else:
        network.define(call.outputs[0], made)


def _reordered(weight: Floats, order: Ints | None) -> Floats:
    """Rows of a weight where the elements that they are for lie."""
    if order is None or not any(weight.strides):  # Weights that are all one number need no memory.
        return weight
    ordered = np.empty(weight.shape)
    ordered[order] = weight
    return ordered


def _dense_of_pixels(
    network: Network, call: Call, tensor: Tensor, weight: Floats, bias: Floats
) -> None:
    """A product of each row of a tensor's last axis: a convolution that sees single pixels."""
    tensor, order = network.by_channel(tensor, len(tensor.shape) - 1, call.where)
    filters = _reordered(weight, order)[None, None]
    name = network.label(call)
    node = Convolution(name, tensor.value, call.outputs[0], filters, bias, Window((1, 1)))
    made, channels = network.emit(node), weight.shape[1]
    pixels = tensor.places[..., :1] // weight.shape[0]
    network.rearrange(call, made, pixels * channels + np.arange(channels))


def row(bias: Floats, columns: int, where: str) -> Floats:
    """A bias as one value a column, if it is the same for every sample."""
    if bias.size not in (1, columns) or (bias.ndim and bias.shape[-1] != bias.size):
        raise InputError(f"{where}: bias must be one value a column ({columns}), not {bias.shape}")
    return np.broadcast_to(bias.reshape(-1), (columns,))


def affine(network: Network, call: Call, tensor: Tensor, factor: Floats, offset: Floats) -> None:
    """A tensor times a factor plus an offset for each channel of its value.

    They join the product before if that is all there is.
    """
    output = call.outputs[0]
    last = network.nodes[-1] if network.nodes else None
    alone = isinstance(last, Dense) and last.output == tensor.value
    alone = alone and not network.folds_later
    alone = alone and (bool((factor == 1.0).all()) or not network.learns)
    alone = alone and tensor.value in call.inputs
    if isinstance(last, Dense) and alone and network.file.uses[last.output] == 1:
        network.nodes.pop()
        bias = last.bias * factor + offset
        weight = last.weight if (factor == 1.0).all() else last.weight * factor
        network.elementwise(call, tensor, Dense(last.name, last.input, output, weight, bias))
        return
    name = network.label(call)
    if network.keeps_norms(tensor):
        none, one = np.zeros(len(factor)), np.ones(len(factor))
        node = BatchNorm(name, tensor.value, output, factor, offset, none, one, epsilon=0.0)
        network.elementwise(call, tensor, node)
        return
    if len(factor) > _LARGEST_DIAGONAL:
        raise InputError(f"{call.where}: {call.kind} of {len(factor)} elements is too large")
    network.elementwise(call, tensor, Dense(name, tensor.value, output, np.diag(factor), offset))


def _bias(network: Network, call: Call, count: int) -> Floats:
    name = call.given(2)
    if not name:
        return np.zeros(count)
    bias = network.constant(name, call.where, "bias")
    if bias.shape != (count,):
        raise InputError(f"{call.where}: bias {name!r} must be ({count},), not {bias.shape}")
    return bias


def _filters(network: Network, call: Call, tensor: Tensor) -> Floats:
    weight = network.constant(call.inputs[1], call.where, "weight")
    if weight.ndim != len(tensor.shape) + 1 or 0 in weight.shape:
        count = ("three", "four")[len(tensor.shape) - 2]
        raise InputError(
            f"{call.where}: weight {call.inputs[1]!r} must have {count} dimensions of at least 1, "
            f"not {weight.shape}"
        )
    return weight if weight.ndim == 4 else weight[:, :, None]


def size_of(tensor: Tensor) -> tuple[int, int]:
    """Rows and columns of an image; a row of pixels is one row."""
    return (1, tensor.shape[1]) if len(tensor.shape) == 2 else (tensor.shape[1], tensor.shape[2])


def conv(network: Network, call: Call) -> None:
    """Convolution: weight (N, C / groups, kh, kw)."""
    tensor = network.image(call.inputs[0], call.where)
    weight = _filters(network, call, tensor)
    call, rank = lifted(call, len(tensor.shape)), len(tensor.shape)
    kernel = (weight.shape[2], weight.shape[3])
    node = Convolution(
        network.label(call),
        tensor.value,
        call.outputs[0],
        weight.transpose(2, 3, 1, 0),
        _bias(network, call, weight.shape[0]),
        window(call, kernel, size_of(tensor)),
        call.integer("group", 1),
    )
    network.emit_as(call, node, rank)


def conv_transpose(network: Network, call: Call) -> None:
    """Transposed convolution: weight (C, N / groups, kh, kw)."""
    tensor = network.image(call.inputs[0], call.where)
    weight = _filters(network, call, tensor)
    call, rank = lifted(call, len(tensor.shape)), len(tensor.shape)
    groups = call.integer("group", 1)
    kernel = (weight.shape[2], weight.shape[3])
    made, extra = transposed_window(call, kernel, size_of(tensor))
    node = TransposedConvolution(
        network.label(call),
        tensor.value,
        call.outputs[0],
        weight.transpose(2, 3, 0, 1),
        _bias(network, call, weight.shape[1] * max(groups, 1)),
        made,
        extra,
        groups,
    )
    network.emit_as(call, node, rank)


def _of_channels(network: Network, call: Call, name: str, what: str, order: Ints) -> Floats:
    """A constant with one number a channel, in the order of the graph's channels."""
    values = network.constant(name, call.where, what)
    return _reordered(values, order) if values.shape == order.shape else values


def batch_norm(network: Network, call: Call) -> None:
    """Batch normalization with fixed statistics."""
    if call.integer("training_mode", 0) or any(call.outputs[1:]):
        raise InputError(f"{call.where}: BatchNormalization must be in inference mode")
    tensor = network.tensor(call.inputs[0], call.where)
    tensor, order = network.by_channel(tensor, 0, call.where)
    learned = [
        _of_channels(network, call, name, what, order)
        for name, what in zip(call.inputs[1:5], ("scale", "bias", "mean", "variance"), strict=True)
    ]
    name, epsilon = network.label(call), call.number("epsilon", 1e-5)
    scale, shift, mean, variance = learned
    node = BatchNorm(name, tensor.value, call.outputs[0], scale, shift, mean, variance, epsilon)
    node.shape((len(order),))
    if network.keeps_norms(tensor):
        network.elementwise(call, tensor, node)
        return
    affine(network, call, tensor, *node.affine())


def local_response_norm(network: Network, call: Call) -> None:
    """Local response normalization."""
    tensor = network.image(call.inputs[0], call.where)
    node = LocalResponseNorm(
        network.label(call),
        tensor.value,
        call.outputs[0],
        call.integer("size", 1),
        call.number("alpha", 1e-4),
        call.number("beta", 0.75),
        call.number("bias", 1.0),
    )
    network.emit_as(call, node, len(tensor.shape))
