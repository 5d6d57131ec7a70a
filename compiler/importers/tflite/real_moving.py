"""TensorFlow Lite operators that move elements, leave some out, or repeat them; in real numbers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import prod

import numpy as np
import numpy.typing as npt

from pulsarray.compiler.importers.tflite.choices import CHOICES, Lines
from pulsarray.compiler.importers.tflite.file import Operator
from pulsarray.compiler.importers.tflite.lines import resized
from pulsarray.compiler.importers.tflite.real_network import RealNetwork
from pulsarray.compiler.ir.value import Shape, Value, constant
from pulsarray.compiler.ir.window import Window
from pulsarray.compiler.ops.add import Add
from pulsarray.compiler.ops.concat import Concat
from pulsarray.compiler.ops.convolution import Convolution
from pulsarray.compiler.ops.images import image
from pulsarray.compiler.ops.pad import Pad
from pulsarray.compiler.ops.resize import Resize, nearest
from pulsarray.compiler.ops.transposed import TransposedConvolution
from pulsarray.errors import InputError

__all__ = ["choose", "chosen", "depth_to_space", "pad", "resize", "space_to_depth"]


_MATRIX = 1 << 20
"""Elements of a matrix at most that chooses channels."""
_LONGEST = 1 << 20
_LONG = 1 << 12
"""Neighbours at least that are moved as they are."""
_FAR = 1e6
"""Numbers around a value at most, beside which its own still count."""


def choose(network: RealNetwork, operator: Operator) -> Sequence[Value]:
    """What has some elements along each axis of an operand: SLICE, SPLIT, TILE and others."""
    choice = CHOICES[operator.kind]
    value, tensor = network.value(operator, choice.data), network.tensor(operator, choice.data)
    numbers = [network.integers(operator, k, "operand") for k in choice.constants(operator)]
    taken, results = choice.of(operator, network.whole_shape(tensor), numbers)
    made, batch = [], taken[0] if taken and taken[0] == network.batch else 0
    for place, lines in enumerate(results):
        if network.batch > 1 and (not batch or [*lines[0]] != [*range(batch)]):
            raise InputError("the batch must stay as it is")
        result = network.file.tensors[operator.outputs[place]]
        some = chosen(network, operator, value, taken, lines)
        made.append(network.shaped(operator, some, network.sample_shape(result)))
    return made


def chosen(
    network: RealNetwork, operator: Operator, value: Value, shape: Shape, lines: Lines
) -> Value:
    """Some elements along each axis of a value, which has that shape but for its batch.

    Neighbouring axes that stay as they are, are one; so there are up to three of which one is
    chosen from, or one after the other.
    """
    if network.batch > 1:
        shape, lines = shape[1:], lines[1:]
    pairs = [(n, line) for n, line in zip(shape, lines, strict=True) if [*line] != [0] or n > 1]
    merged: list[tuple[int, Sequence[int] | None]] = []
    for size, line in pairs:
        same = [*line] == [*range(size)]
        if same and merged and merged[-1][1] is None:
            merged[-1] = (merged[-1][0] * size, None)
        else:
            merged.append((size, None if same else line))
    if len(merged) > 3:  # One axis alone, and then the rest.
        last = max(k for k, (_, line) in enumerate(merged) if line is not None)
        before, after = (prod(n for n, _ in part) for part in (merged[:last], merged[last + 1 :]))
        alone = [(before, None), merged[last], *([(after, None)] if after > 1 else [])]
        value = _three(network, operator, value, alone)
        size = len(merged[last][1] or ())
        merged[last] = (size, None)
        rest = [(n, range(n) if line is None else line) for n, line in merged]
        sizes, left = zip(*rest, strict=True)
        whole = ((1,), ([0],)) if network.batch > 1 else ((), ())
        return chosen(network, operator, value, (*whole[0], *sizes), [*whole[1], *left])
    return _three(network, operator, value, merged)


def _pieces(line: Sequence[int]) -> list[Sequence[int]]:
    """A long line as what comes before, in and behind its longest run of neighbours."""
    numbers = np.asarray(line)
    ends = [0, *(np.flatnonzero(np.diff(numbers) != 1) + 1).tolist(), len(numbers)]
    first, last = max(pairwise(ends), key=lambda pair: pair[1] - pair[0])
    if last - first < _LONG:
        return [line]
    parts = (line[:first], range(int(numbers[first]), int(numbers[last - 1]) + 1), line[last:])
    return [part for part in parts if part]


def _three(
    network: RealNetwork,
    operator: Operator,
    value: Value,
    axes: Sequence[tuple[int, Sequence[int] | None]],
) -> Value:
    """Some elements along each of up to three axes; None for all of them."""
    if all(line is None for _, line in axes):
        return value
    for place, (size, line) in enumerate(axes):
        if line is not None and len(pieces := _pieces(line)) > 1:
            return _side_by_side(network, operator, value, axes, (place, size, pieces))
    size, line = axes[-1]
    if len(axes) < 3 and line is not None and size * len(line) > _MATRIX:
        axes = [*axes, (1, None)]  # Columns rather than channels: these need a matrix.
    full = [(1, None)] * (3 - len(axes)) + [*axes]
    value = network.shaped(operator, value, tuple(n for n, _ in full))
    (rows, row_line), (columns, column_line), (_, channel_line) = full
    if row_line is not None or column_line is not None:
        op = Resize(
            nearest(rows, range(rows) if row_line is None else row_line),
            nearest(columns, range(columns) if column_line is None else column_line),
        )
        value = network.step(operator, op, value)
    return value if channel_line is None else _channels(network, operator, value, channel_line)


def _side_by_side(
    network: RealNetwork,
    operator: Operator,
    value: Value,
    axes: Sequence[tuple[int, Sequence[int] | None]],
    cut: tuple[int, int, list[Sequence[int]]],
) -> Value:
    """Parts of a line, so that what stays as it is moves no more than it must."""
    place, size, pieces = cut
    others = [(n, None if k == place else line) for k, (n, line) in enumerate(axes)]
    value = _three(network, operator, value, others)
    kept = [n if line is None else len(line) for n, line in others]
    before, after = prod(kept[:place]), prod(kept[place + 1 :])
    parts = []
    for piece in pieces:
        line = None if [*piece] == [*range(size)] else piece
        some = _three(network, operator, value, [(before, None), (size, line), (after, None)])
        parts.append(network.shaped(operator, some, (before, len(piece), after)))
    return network.step(operator, Concat(-2), *parts)


def _channels(
    network: RealNetwork, operator: Operator, value: Value, channels: Sequence[int]
) -> Value:
    """Channels of a map, by a product with 0 and 1."""
    count = value.shape[2]
    network.spend(count * len(channels))
    weight = np.zeros((count, len(channels)))
    weight[list(channels), np.arange(len(channels))] = 1.0
    learned = {"weight": weight[None, None], "bias": np.zeros(len(channels))}
    return network.product(operator, Convolution(Window((1, 1))), value, learned)


def pad(network: RealNetwork, operator: Operator) -> Value:
    """PAD with zeros, PADV2 with another number, which is taken away and added again."""
    value, sides = network.value(operator), network.integers(operator, 1, "padding")
    shape = network.whole_shape(network.tensor(operator, 0))
    pairs = [*zip(sides[::2], sides[1::2], strict=False)]
    if len(sides) != 2 * len(shape) or min(sides) < 0:
        raise InputError(f"padding {sides} does not fit {shape}")
    if max(sides) > _LONGEST:
        raise InputError(f"padding of {max(sides)} elements is too much")
    around = 0.0
    if network.has(operator, 2):
        around = float(network.real_constant(operator, 2, "value").reshape(-1)[0])
    if abs(around) > _FAR:
        raise InputError(f"must be with numbers up to {_FAR:g}, not {around}")
    if any(pairs[0]) and network.batch > 1:
        raise InputError(f"padding must be of a sample's axes, not {sides}")
    inside = _shifted(network, operator, value, -around)
    made = _padded(network, operator, inside, shape, pairs)
    sizes = [n + sum(pair) for n, pair in zip(shape, pairs, strict=True)]
    rank = len(network.sample_shape(network.target(operator)))
    made = network.shaped(operator, made, tuple(sizes[len(sizes) - rank :]))
    return _shifted(network, operator, made, around)


def _shifted(network: RealNetwork, operator: Operator, value: Value, number: float) -> Value:
    if not number:
        return value
    name = f"{network.target(operator).name}.around"
    held = network.draft.hold(constant(name, np.array([number])))
    return network.step(operator, Add(), value, network.draft.values[held])


def _padded(
    network: RealNetwork,
    operator: Operator,
    value: Value,
    shape: Shape,
    pairs: Sequence[tuple[int, int]],
) -> Value:
    """Zeros around rows, columns and channels at once, else along one axis after the other."""
    sides = [(0, 0), (0, 0), *pairs]
    *outer, height, width, channels = (1, 1, 1, *shape)
    few = not any(sides[-1]) or channels * (channels + sum(sides[-1])) <= _MATRIX
    if few and not any(map(any, sides[:-3])) and (prod(outer) == 1 or not any(sides[-3])):
        image = network.shaped(operator, value, (prod(outer) * height, width, channels))
        return _image(network, operator, image, sides[-3:])
    sizes = [*shape]
    for axis, (low, high) in enumerate(pairs):
        if low or high:
            three = (prod(sizes[:axis]), sizes[axis], prod(sizes[axis + 1 :]))
            value = network.shaped(operator, value, three)
            value = network.step(operator, Pad((0, low, 0, high)), value)
            sizes[axis] += low + high
    return value


def _image(
    network: RealNetwork, operator: Operator, value: Value, pairs: Sequence[tuple[int, int]]
) -> Value:
    """Zeros around a map; channels of zeros are made by a product, which has them for free."""
    (top, bottom), (left, right), (before, after) = pairs
    if top or bottom or left or right:
        value = network.step(operator, Pad((top, left, bottom, right)), value)
    if before or after:
        channels = value.shape[2]
        network.spend(channels * (channels + before + after))
        weight = np.pad(np.eye(channels), ((0, 0), (before, after)))[None, None]
        learned = {"weight": weight, "bias": np.zeros(weight.shape[3])}
        value = network.product(operator, Convolution(Window((1, 1))), value, learned)
    return value


def resize(network: RealNetwork, operator: Operator) -> Value:
    """RESIZE_BILINEAR, RESIZE_NEAREST_NEIGHBOR."""
    value, sizes = network.value(operator), network.integers(operator, 1, "sizes")
    image(value.shape)
    return network.step(operator, resized(operator, value.shape, sizes), value)


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
