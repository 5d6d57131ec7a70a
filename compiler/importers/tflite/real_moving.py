"""TensorFlow Lite operators that move elements, leave some out, or repeat them; in real numbers."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np
import numpy.typing as npt

from pulsarray.compiler.importers.tflite.file import Operator
from pulsarray.compiler.importers.tflite.lines import axis_indices, resized, strided_indices
from pulsarray.compiler.importers.tflite.real_network import RealNetwork
from pulsarray.compiler.ir.value import Value
from pulsarray.compiler.ir.window import Window
from pulsarray.compiler.ops.convolution import Convolution
from pulsarray.compiler.ops.images import image
from pulsarray.compiler.ops.layout import Reshape
from pulsarray.compiler.ops.resize import Resize, nearest
from pulsarray.compiler.ops.transposed import TransposedConvolution
from pulsarray.errors import InputError

__all__ = ["chosen", "depth_to_space", "mirror_pad", "resize", "slice_of", "space_to_depth"]

Places = Sequence[int]
"""Which of an axis's elements a result has, in order."""


def chosen(
    network: RealNetwork, operator: Operator, value: Value, places: Sequence[Places]
) -> Value:
    """A result of some elements along each axis of a value, which may repeat.

    Raises
    ------
    InputError
        If the value has more than three axes.
    """
    shape = value.shape
    if len(shape) > 3:
        raise InputError(f"a value must have up to three axes, not shape {shape}")
    same = [list(line) == list(range(n)) for line, n in zip(places, shape, strict=True)]
    full = (1, 1, 1, *shape)[-3:]
    if full != shape:
        value = network.step(operator, Reshape(full), value)
    rows, columns, channels = [[0], [0], [0], *map(list, places)][-3:]
    if not all(same[:-1]):
        op = Resize(nearest(full[0], rows), nearest(full[1], columns))
        value = network.step(operator, op, value)
    if not all(same[-1:]):
        value = _channels(network, operator, value, channels)
    made = tuple(map(len, places))
    return value if len(made) == 3 else network.step(operator, Reshape(made), value)


def _channels(network: RealNetwork, operator: Operator, value: Value, channels: Places) -> Value:
    """Channels of a map, by a product with 0 and 1."""
    count = value.shape[2]
    network.spend(count * len(channels))
    weight = np.zeros((count, len(channels)))
    weight[list(channels), np.arange(len(channels))] = 1.0
    learned = {"weight": weight[None, None], "bias": np.zeros(len(channels))}
    return network.product(operator, Convolution(Window((1, 1))), value, learned)


def resize(network: RealNetwork, operator: Operator) -> Value:
    """RESIZE_BILINEAR, RESIZE_NEAREST_NEIGHBOR."""
    value, sizes = network.value(operator), network.integers(operator, 1, "sizes")
    image(value.shape)
    return network.step(operator, resized(operator, value.shape, sizes), value)


def slice_of(network: RealNetwork, operator: Operator) -> Value:
    """STRIDED_SLICE, SLICE: some of each axis."""
    value, names = network.value(operator), ("begin", "end", "strides")
    numbers = [network.integers(operator, k + 1, names[k]) for k in range(len(operator.inputs) - 1)]
    shape = (network.batch, *value.shape)
    if operator.kind == "STRIDED_SLICE":
        lines = strided_indices(operator, shape, numbers)
    else:
        begin, size = numbers
        lines = axis_indices(shape, begin, size)
    if list(lines[0]) != list(range(network.batch)):
        raise InputError("the batch must stay as it is")
    made = chosen(network, operator, value, lines[1:])
    wanted = network.sample_shape(network.target(operator))
    if wanted != made.shape and prod(wanted) == prod(made.shape):
        return network.step(operator, Reshape(wanted), made)
    return made


def mirror_pad(network: RealNetwork, operator: Operator) -> Value:
    """MIRROR_PAD: what is around mirrors what is inside, with or without its edge."""
    value, sides = network.value(operator), network.integers(operator, 1, "padding")
    skip, shape = int(operator.option("Mode") == 0), (1, *value.shape)
    pairs = [*zip(sides[::2], sides[1::2], strict=False)]
    if len(sides) != 2 * len(shape) or min(sides) < 0 or any(pairs[0]):
        raise InputError(f"padding must be of a sample's axes, not {sides}")
    if any(max(pair) > n - skip for pair, n in zip(pairs[1:], shape[1:], strict=True)):
        raise InputError(f"padding {sides} is larger than what it mirrors, {shape}")
    mode = "reflect" if skip else "symmetric"
    lines = [
        np.pad(np.arange(n), pair, mode=mode).tolist()  # type: ignore[call-overload]
        for n, pair in zip(shape[1:], pairs[1:], strict=True)
    ]
    return chosen(network, operator, value, lines)


def depth_to_space(network: RealNetwork, operator: Operator) -> Value:
    """DEPTH_TO_SPACE: channels become rows and columns of blocks."""
    value, block = network.value(operator), operator.option("BlockSize")
    *_, channels = image(value.shape)
    _check_block(block, channels % max(block, 1) ** 2 == 0, value)
    numbers = np.arange(channels)
    return _blocks(network, operator, value, numbers[:, None] == _split(numbers, block), block)


def space_to_depth(network: RealNetwork, operator: Operator) -> Value:
    """SPACE_TO_DEPTH: rows and columns of blocks become channels."""
    value, block = network.value(operator), operator.option("BlockSize")
    height, width, channels = image(value.shape)
    _check_block(block, height % max(block, 1) == 0 == width % max(block, 1), value)
    numbers = np.arange(channels * block**2)
    network.spend(channels * block**2 * channels * block**2)
    weight = (_split(numbers, block)[..., 0, :, None] == numbers).astype(np.float64)
    learned = {"weight": weight, "bias": np.zeros(len(numbers))}
    op = Convolution(Window((block, block), (block, block)))
    return network.product(operator, op, value, learned)


def _check_block(block: int, fits: bool, value: Value) -> None:
    if block < 1 or not fits:
        raise InputError(f"a value of shape {value.shape} has no blocks of {block} x {block}")


def _split(numbers: npt.NDArray[np.int64], block: int) -> npt.NDArray[np.int64]:
    """Channels by row and column of a block, and channel outside of it: (block, block, 1, C)."""
    return numbers.reshape(block, block, 1, -1)


def _blocks(
    network: RealNetwork, operator: Operator, value: Value, weight: npt.NDArray[np.bool_],
    block: int,
) -> Value:  # fmt: skip
    """A transposed convolution that spreads each pixel over a block."""
    network.spend(weight.size)
    op = TransposedConvolution(Window((block, block), (block, block)))
    learned = {"weight": weight.astype(np.float64), "bias": np.zeros(weight.shape[3])}
    return network.product(operator, op, value, learned)
