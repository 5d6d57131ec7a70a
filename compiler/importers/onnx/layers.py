"""ONNX operators with weights: products, convolutions and normalizations."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from pulsarray.compiler.importers.onnx.file import Call
from pulsarray.compiler.importers.onnx.orders import Ints, arranged
from pulsarray.compiler.importers.onnx.tensors import Network, Tensor
from pulsarray.compiler.importers.onnx.windows import lifted, transposed_window, window
from pulsarray.compiler.ir.value import Array, Floats
from pulsarray.compiler.ir.window import Window
from pulsarray.compiler.ops.batch_norm import BatchNorm
from pulsarray.compiler.ops.convolution import Convolution
from pulsarray.compiler.ops.dense import Dense
from pulsarray.compiler.ops.local_response_norm import LocalResponseNorm
from pulsarray.compiler.ops.multiply import Multiply
from pulsarray.compiler.ops.transposed import TransposedConvolution
from pulsarray.errors import InputError

__all__ = [
    "affine",
    "batch_norm",
    "conv",
    "conv_transpose",
    "gemm",
    "local_response_norm",
    "matmul",
    "of_channels",
    "row",
    "size_of",
]

_LARGEST_DIAGONAL = 1 << 12
"""Elements of a vector whose factors become a matrix."""


def matrix(network: Network, call: Call) -> Array:
    """The constant weight of a product, (K, N)."""
    name = call.inputs[1]
    weight = network.weight(name, call.where)
    if weight.ndim != 2:
        raise InputError(f"{call.where}: weight {name!r} must be a matrix, not {weight.shape}")
    return weight.T if call.integer("transB", 0) else weight


def gemm(network: Network, call: Call) -> None:
    """``alpha * A * B + beta * C``."""
    if call.integer("transA", 0):
        raise InputError(f"{call.where}: Gemm with transA would mix the samples of a batch")
    tensor = network.tensor_of_any_order(call.inputs[0], call.where)
    weight = matrix(network, call)
    bias = np.zeros(weight.shape[1])
    if call.given(2):
        stored_bias = network.constant(call.given(2), call.where, "bias")
        bias = bias + call.number("beta", 1.0) * row(stored_bias, weight.shape[1], call.where)
    alpha = call.number("alpha", 1.0)
    if alpha != 1.0:
        weight = alpha * weight.astype(np.float64)
    _dense(network, call, tensor, weight, bias)


def matmul(network: Network, call: Call) -> None:
    """A product with a constant matrix."""
    if network.is_constant(call.inputs[0]):
        raise InputError(f"{call.where}: MatMul must have the constant as its second operand")
    tensor = network.tensor_of_any_order(call.inputs[0], call.where)
    weight = matrix(network, call)
    _dense(network, call, tensor, weight, np.zeros(weight.shape[1]))


def _dense(network: Network, call: Call, tensor: Tensor, weight: Array, bias: Floats) -> None:
    batch = tensor.batch_axis
    if batch == len(tensor.shape):
        raise InputError(f"{call.where}: {call.kind} would mix the samples of a batch")
    if tensor.shape[-1] != weight.shape[0]:
        raise InputError(
            f"{call.where}: input must have shape ({weight.shape[0]},), not {tensor.shape}"
        )
    if prod(tensor.shape) > weight.shape[0]:
        _dense_of_pixels(network, call, tensor, weight, bias)
    else:
        _dense_of_all(network, call, tensor, weight, bias)
    network.define(call.outputs[0], network.input_of(call.outputs[0], call.where), batch)


def _dense_of_all(
    network: Network, call: Call, tensor: Tensor, weight: Array, bias: Floats
) -> None:
    """A product of all elements of a sample."""
    row = network.vector(
        arranged(tensor.value, network.shape(tensor.value), tensor.places.reshape(-1))
    )
    weight = _reordered(weight, row.order)
    learned = {"weight": weight, "bias": bias}
    made = network.emit(network.label(call), Dense(), (row.value,), call.outputs[0], learned)
    if len(tensor.shape) > 1:
        network.rearrange(call, made, made.places.reshape(*tensor.shape[:-1], -1))
    else:
        network.define(call.outputs[0], made)


def _reordered(weight: Array, order: Ints | None) -> Array:
    """Rows of a weight where the elements that they are for lie."""
    if order is None or not any(weight.strides):  # Weights that are all one number need no memory.
        return weight
    ordered = np.empty(weight.shape, weight.dtype)
    ordered[order] = weight
    return ordered


def _dense_of_pixels(
    network: Network, call: Call, tensor: Tensor, weight: Array, bias: Floats
) -> None:
    """A product of each row of a tensor's last axis: a convolution that sees single pixels."""
    tensor, order = network.by_channel(tensor, len(tensor.shape) - 1, call.where)
    filters = _reordered(weight, order)[None, None]
    name, op = network.label(call), Convolution(Window((1, 1)))
    learned = {"weight": filters, "bias": bias}
    made = network.emit(name, op, (tensor.value,), call.outputs[0], learned)
    channels = weight.shape[1]
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
    if _is_alone(network, call, tensor, factor):
        _join(network, call, tensor, factor, offset)
        return
    name, sources, output = network.label(call), (tensor.value,), call.outputs[0]
    if network.learns and factor[0] > 0.0 and not offset.any() and (factor == factor[0]).all():
        # A number for all is no normalization.
        number = {"factor": factor[:1]}
        made = network.emit(name, Multiply(), sources, output, constants=number)
    elif network.keeps_norms(tensor):
        none, one = np.zeros(len(factor)), np.ones(len(factor))
        learned, known = {"scale": factor, "shift": offset}, {"mean": none, "variance": one}
        made = network.emit(name, BatchNorm(epsilon=0.0), sources, output, learned, known)
    elif len(factor) > _LARGEST_DIAGONAL:
        raise InputError(f"{call.where}: {call.kind} of {len(factor)} elements is too large")
    else:
        learned = {"weight": np.diag(factor), "bias": offset}
        made = network.emit(name, Dense(), sources, output, learned)
    network.elementwise(call, tensor, made)


def _is_alone(network: Network, call: Call, tensor: Tensor, factor: Floats) -> bool:
    """Whether factors and offsets can join the operator before: a product of a vector."""
    last = network.nodes[-1] if network.nodes else None
    if last is None or last.output != tensor.value or network.folds_later:
        return False
    is_product = "weight" in last.op.reads and len(network.shape(last.output)) == 1
    keeps = bool((factor == 1.0).all()) or not network.learns
    return is_product and keeps and tensor.value in call.inputs and network.uses[last.output] == 1


def _join(network: Network, call: Call, tensor: Tensor, factor: Floats, offset: Floats) -> None:
    """Factors and offsets in the product before them."""
    source, weight, bias = network.draft.inputs_of(network.nodes[-1])
    last = network.draft.remove()
    matrix = weight.array if (factor == 1.0).all() else weight.array * factor
    learned = {"weight": matrix, "bias": bias.array * factor + offset}
    made = network.emit(last.name, last.op, (source.name,), call.outputs[0], learned)
    network.elementwise(call, tensor, made)


def _bias(network: Network, call: Call, count: int) -> Floats:
    name = call.given(2)
    if not name:
        return np.zeros(count)
    bias = network.constant(name, call.where, "bias")
    if bias.shape != (count,):
        raise InputError(f"{call.where}: bias {name!r} must be ({count},), not {bias.shape}")
    return bias


def _filters(network: Network, call: Call, tensor: Tensor) -> Array:
    weight = network.weight(call.inputs[1], call.where)
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
    name, bias = network.label(call), _bias(network, call, weight.shape[0])
    op = Convolution(window(call, kernel, size_of(tensor)), call.integer("group", 1))
    learned = {"weight": weight.transpose(2, 3, 1, 0), "bias": bias}
    network.emit_as(call, rank, op, tensor.value, learned, name)


def conv_transpose(network: Network, call: Call) -> None:
    """Transposed convolution: weight (C, N / groups, kh, kw)."""
    tensor = network.image(call.inputs[0], call.where)
    weight = _filters(network, call, tensor)
    call, rank = lifted(call, len(tensor.shape)), len(tensor.shape)
    groups = call.integer("group", 1)
    kernel = (weight.shape[2], weight.shape[3])
    made, extra = transposed_window(call, kernel, size_of(tensor))
    bias = _bias(network, call, weight.shape[1] * max(groups, 1))
    op = TransposedConvolution(made, extra, groups)
    learned = {"weight": weight.transpose(2, 3, 0, 1), "bias": bias}
    network.emit_as(call, rank, op, tensor.value, learned)


def of_channels(network: Network, call: Call, name: str, what: str, order: Ints) -> Floats:
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
        of_channels(network, call, name, what, order)
        for name, what in zip(call.inputs[1:5], ("scale", "bias", "mean", "variance"), strict=True)
    ]
    name, op = network.label(call), BatchNorm(call.number("epsilon", 1e-5))
    _check_norm(name, op, learned, len(order))
    if network.keeps_norms(tensor):
        made = network.emit(
            name,
            op,
            (tensor.value,),
            call.outputs[0],
            dict(zip(("scale", "shift"), learned[:2], strict=True)),
            dict(zip(("mean", "variance"), learned[2:], strict=True)),
        )
        network.elementwise(call, tensor, made)
        return
    affine(network, call, tensor, *op.affine(*learned))


def _check_norm(name: str, op: BatchNorm, arrays: Sequence[Floats], channels: int) -> None:
    """Refuse what is no normalization before it becomes part of something else."""
    try:
        op.shape((channels,), *(array.shape for array in arrays))
        op.check(None, *arrays)
    except InputError as error:
        raise InputError(f"{name}: {error}") from None


def local_response_norm(network: Network, call: Call) -> None:
    """Local response normalization."""
    tensor = network.image(call.inputs[0], call.where)
    op = LocalResponseNorm(
        call.integer("size", 1),
        call.number("alpha", 1e-4),
        call.number("beta", 0.75),
        call.number("bias", 1.0),
    )
    network.emit_as(call, len(tensor.shape), op, tensor.value)
