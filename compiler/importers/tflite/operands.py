"""Inputs of TensorFlow Lite's operators as maps: constants, and what repeats along axes."""

from __future__ import annotations

import numpy as np

from pulsarray.compiler.importers.tflite.file import Operator
from pulsarray.compiler.importers.tflite.network import (
    Network,
    copying,
    map_shape,
    quantization,
)
from pulsarray.compiler.ir.formats import Affine8
from pulsarray.compiler.ir.value import Shape, Value
from pulsarray.compiler.ir.window import Window
from pulsarray.compiler.ops.integer import Convolution, Resize
from pulsarray.compiler.ops.integer.resize import whole_lines
from pulsarray.compiler.ops.resize import nearest
from pulsarray.errors import InputError

__all__ = ["LONGEST", "constant_map", "is_constant", "is_number", "number_of", "pair_of", "spread"]

LONGEST = 1 << 14
"""Rows or columns that can be chosen one by one."""
_BITS = 31


def is_constant(network: Network, operator: Operator, place: int) -> bool:
    """Whether an input is a constant."""
    tensor = network.tensor(operator, place)
    return tensor is not None and tensor.data is not None


def is_number(network: Network, operator: Operator, place: int) -> bool:
    """Whether an input is a constant of one element."""
    tensor = network.tensor(operator, place)
    return tensor is not None and tensor.data is not None and tensor.size == 1


def number_of(network: Network, operator: Operator, place: int) -> tuple[int, Affine8]:
    """The one code of a constant, and what it means."""
    code = int(network.constant(operator, place, "int8").reshape(-1)[0])
    tensor = network.file.tensors[operator.inputs[place] or 0]
    return code, Affine8(*quantization(tensor))


def pair_of(network: Network, operator: Operator) -> tuple[Value, Value, Shape]:
    """Two inputs as maps of one shape, and the result's; one may be a constant.

    Raises
    ------
    InputError
        If both are constants, or do not fit the result.
    """
    wanted = map_shape(network.target(operator), network.batch)
    known = [is_constant(network, operator, place) for place in range(2)]
    if all(known):
        raise InputError("one input must not be a constant")
    if not any(known):
        one, other = (network.plain(operator, place) for place in range(2))
        if one.source.shape == other.source.shape and one.shape == other.shape == wanted:
            return one.source, other.source, wanted
    first, second = (
        constant_map(network, operator, place, wanted)
        if known[place]
        else spread(network, operator, network.image(operator, place), wanted)
        for place in range(2)
    )
    return first, second, wanted


def constant_map(network: Network, operator: Operator, place: int, shape: Shape) -> Value:
    """A constant in int8 as a map, repeated to be as large as a shape.

    Raises
    ------
    InputError
        If it is none, or does not fit the shape.
    """
    data = network.constant(operator, place, "int8")
    tensor = network.file.tensors[operator.inputs[place] or 0]
    sizes = (1, 1, 1, *data.shape)
    more = data.size // int(np.prod(sizes[-3:]))
    if more != 1:
        raise InputError(f"constant {tensor.short!r} of {data.shape} does not fit {shape}")
    whole = _repeated(data.reshape(sizes[-3:]), shape, tensor.short)
    network.spend(whole.size)
    codes = Affine8(*quantization(tensor))
    return network.parts.values[network.parts.constant(tensor.name, whole.astype(np.int8), codes)]


def _repeated(data: np.ndarray, shape: Shape, name: str) -> np.ndarray:
    try:
        return np.broadcast_to(data, shape)
    except ValueError:
        raise InputError(f"constant {name!r} of {data.shape} does not fit {shape}") from None


def spread(network: Network, operator: Operator, value: Value, shape: Shape) -> Value:
    """A map repeated along the axes in which it has size 1.

    Raises
    ------
    InputError
        If it does not fit the shape.
    """
    if (known := network.repeated.get((value.name, shape))) is not None:
        return known
    source, pairs = value.name, list(zip(value.shape, shape, strict=True))
    if any(size not in (1, wanted) for size, wanted in pairs):
        raise InputError(f"an input of {value.shape} does not fit {shape}")
    if value.shape[2] != shape[2]:
        value = _more_channels(network, operator, value, shape[2])
    if value.shape != shape:
        if max(shape[:2]) > LONGEST:
            raise InputError(f"rows or columns of {max(shape[:2])} are too many to be repeated")
        rows, columns = (
            whole_lines(nearest(n, [0] * m if n == 1 else range(m))) for n, m in pairs[:2]
        )
        op = Resize.rounded(rows, columns, _BITS)
        value = network.between(network.target(operator), "repeated", op, value, shape)
    network.repeated[source, shape] = value
    return value


def _more_channels(network: Network, operator: Operator, value: Value, channels: int) -> Value:
    """One channel, so many times: a product with ones."""
    network.spend(channels)
    shape = (*value.shape[:2], channels)
    made = network.parts.map(
        network.parts.free(f"{network.target(operator).name}.spread"), shape, value.codes
    )
    op = Convolution(Window((1, 1)), 1, copying(value.codes.zero))
    network.parts.product(
        network.node_name(network.target(operator), ".spread"),
        op,
        value.name,
        np.ones((1, 1, 1, channels), np.int64),
        np.zeros(channels, np.int64),
        made.name,
        "spread",
    )
    return made
