"""ONNX operators with weights: products, convolutions and normalizations."""

from __future__ import annotations

import numpy as np

from pulsarray.compiler.graph import Dense, Floats
from pulsarray.compiler.importers.onnx_file import Call
from pulsarray.compiler.importers.onnx_tensors import Network, Tensor
from pulsarray.compiler.importers.onnx_windows import transposed_window, window
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
    order = tensor.order
    varied = any(weight.strides)  # Weights that are all one number need no memory.
    if order is not None and order.shape == weight.shape[:1] and varied:
        ordered = np.empty(weight.shape)
        ordered[order] = weight
        weight = ordered
    if len(tensor.shape) != 1:
        raise InputError(
            f"{call.where}: input must have shape ({weight.shape[0]},), not {tensor.shape}"
        )
    node = Dense(network.label(call), tensor.value, call.outputs[0], weight, bias)
    network.emit_as(call, node)


def row(bias: Floats, columns: int, where: str) -> Floats:
    """A bias as one value a column, if it is the same for every sample."""
    if bias.size not in (1, columns) or (bias.ndim and bias.shape[-1] != bias.size):
        raise InputError(f"{where}: bias must be one value a column ({columns}), not {bias.shape}")
    return np.broadcast_to(bias.reshape(-1), (columns,))


def affine(network: Network, call: Call, tensor: Tensor, factor: Floats, offset: Floats) -> None:
    """A tensor's channels times a factor plus an offset, in the product before if possible."""
    output = call.outputs[0]
    last = network.nodes[-1] if network.nodes else None
    alone = isinstance(last, Dense) and last.output == tensor.value
    alone = alone and not network.folds_later
    if isinstance(last, Dense) and alone and network.file.uses[last.output] == 1:
        network.nodes.pop()
        bias = last.bias * factor + offset
        weight = last.weight if (factor == 1.0).all() else last.weight * factor
        network.emit_as(call, Dense(last.name, last.input, output, weight, bias))
        return
    tensor = network.usual(tensor, call.where)
    name = network.label(call)
    if network.images or network.folds_later:
        none, one = np.zeros(len(factor)), np.ones(len(factor))
        network.emit_as(
            call, BatchNorm(name, tensor.value, output, factor, offset, none, one, epsilon=0.0)
        )
        return
    if len(factor) > _LARGEST_DIAGONAL:
        raise InputError(f"{call.where}: {call.kind} of {len(factor)} elements is too large")
    network.emit_as(call, Dense(name, tensor.value, output, np.diag(factor), offset))


def _bias(network: Network, call: Call, count: int) -> Floats:
    name = call.given(2)
    if not name:
        return np.zeros(count)
    bias = network.constant(name, call.where, "bias")
    if bias.shape != (count,):
        raise InputError(f"{call.where}: bias {name!r} must be ({count},), not {bias.shape}")
    return bias


def _filters(network: Network, call: Call) -> Floats:
    weight = network.constant(call.inputs[1], call.where, "weight")
    if weight.ndim != 4 or 0 in weight.shape:
        raise InputError(
            f"{call.where}: weight {call.inputs[1]!r} must have four dimensions of at least 1, "
            f"not {weight.shape}"
        )
    return weight


def conv(network: Network, call: Call) -> None:
    """Convolution: weight (N, C / groups, kh, kw)."""
    tensor = network.image(call.inputs[0], call.where)
    weight = _filters(network, call)
    kernel = (weight.shape[2], weight.shape[3])
    node = Convolution(
        network.label(call),
        tensor.value,
        call.outputs[0],
        weight.transpose(2, 3, 1, 0),
        _bias(network, call, weight.shape[0]),
        window(call, kernel, (tensor.shape[1], tensor.shape[2])),
        call.integer("group", 1),
    )
    network.emit_as(call, node)


def conv_transpose(network: Network, call: Call) -> None:
    """Transposed convolution: weight (C, N / groups, kh, kw)."""
    tensor = network.image(call.inputs[0], call.where)
    weight = _filters(network, call)
    groups = call.integer("group", 1)
    kernel = (weight.shape[2], weight.shape[3])
    made, extra = transposed_window(call, kernel, (tensor.shape[1], tensor.shape[2]))
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
    network.emit_as(call, node)


def batch_norm(network: Network, call: Call) -> None:
    """Batch normalization with fixed statistics."""
    if call.integer("training_mode", 0) or any(call.outputs[1:]):
        raise InputError(f"{call.where}: BatchNormalization must be in inference mode")
    tensor = network.usual(network.tensor(call.inputs[0], call.where), call.where)
    names = ("scale", "bias", "mean", "variance")
    scale, bias, mean, variance = (
        network.constant(name, call.where, what)
        for name, what in zip(call.inputs[1:5], names, strict=True)
    )
    epsilon = call.number("epsilon", 1e-5)
    node = BatchNorm(
        network.label(call), tensor.value, call.outputs[0], scale, bias, mean, variance, epsilon
    )
    if network.images:
        network.emit_as(call, node)
        return
    node.shape(tensor.shape)
    factor, offset = node.affine()
    affine(network, call, tensor, factor, offset)


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
    network.emit_as(call, node)
