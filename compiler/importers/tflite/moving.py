"""TensorFlow Lite's operators that move codes, leave some out, or repeat them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from pulsarray.compiler.importers.tflite.choices import CHOICES
from pulsarray.compiler.importers.tflite.file import Operator, Tensor
from pulsarray.compiler.importers.tflite.layout import same_codes
from pulsarray.compiler.importers.tflite.network import (
    Meaning,
    Network,
    copying,
    map_shape,
    place_of,
    quantization,
)
from pulsarray.compiler.importers.tflite.operands import LONGEST, constant_map, is_constant
from pulsarray.compiler.importers.tflite.windows import same_quantization
from pulsarray.compiler.ir.formats import Affine8
from pulsarray.compiler.ir.value import Array, Value
from pulsarray.compiler.ir.window import Window
from pulsarray.compiler.ops.integer import Concat, Convolution, Elementwise, Resize
from pulsarray.compiler.ops.integer.codes import HIGH, LOW
from pulsarray.compiler.ops.integer.resize import whole_lines
from pulsarray.compiler.ops.resize import nearest
from pulsarray.errors import InputError

__all__ = ["choose", "chosen", "concatenation", "pack", "pad"]

_BITS = 31
_LONGEST = 1 << 18
"""Elements of an axis at most that is chosen from."""
Places = Sequence[Sequence[int]]
"""Which elements along each axis of a map a result has, in order; they may repeat."""


def chosen(network: Network, tensor: Tensor, source: Value, places: Places) -> Value:
    """Elements of a map along each axis, on the way to a tensor."""
    height, width, channels = source.shape
    if (longest := max(map(len, places[:2]))) > LONGEST:
        raise InputError(f"rows or columns of {longest} are too many to be moved")
    if [*places[0]] != [*range(height)] or [*places[1]] != [*range(width)]:
        rows, columns = (
            whole_lines(nearest(n, line))
            for n, line in zip((height, width), places[:2], strict=True)
        )
        shape = len(rows), len(columns), channels
        op = Resize.rounded(rows, columns, _BITS)
        source = network.between(tensor, "places", op, source, shape)
    if [*places[2]] != [*range(channels)]:
        weight = np.zeros((channels, len(places[2])), np.int64)
        network.spend(weight.size)
        weight[list(places[2]), np.arange(len(places[2]))] = 1
        source = copied(network, tensor, source, weight[None, None])
    return source


def copied(
    network: Network, tensor: Tensor, source: Value, weight: Array, bias: Array | None = None
) -> Value:
    """A product of each pixel with 0 and 1: the same codes, and constant ones."""
    count, zero = weight.shape[3], source.codes.zero
    shape = (*source.shape[:2], count)
    made = network.parts.map(network.parts.free(f"{tensor.name}.channels"), shape, source.codes)
    op = Convolution(Window((1, 1)), 1, copying(zero))
    more = np.zeros(count, np.int64) if bias is None else bias
    name = network.node_name(tensor, ".channels")
    network.parts.product(name, op, source.name, weight, more, made.name, "channels")
    return made


def _define(network: Network, tensor: Tensor, made: Value) -> None:
    """Let a map stand for a tensor of as many elements."""
    shape = map_shape(tensor, network.batch)
    if np.prod(shape) != np.prod(made.shape):
        raise InputError(f"result must have shape (H, W, C) = {made.shape}, not {shape}")
    same_codes(made.codes, tensor)
    network.values[tensor.index] = Meaning(made, shape)


def choose(network: Network, operator: Operator) -> None:
    """What has some elements along each axis of an operand: SLICE, SPLIT, TILE and others."""
    choice = CHOICES[operator.kind]
    source, entry = network.image(operator, choice.data), network.tensor(operator, choice.data)
    assert entry is not None
    numbers = [network.whole_numbers(operator, place) for place in choice.constants(operator)]
    first = network.batch if entry.shape[0] == -1 else entry.shape[0]
    if max(entry.shape) > _LONGEST:
        raise InputError(f"an axis of {max(entry.shape)} elements is too long to be chosen from")
    taken, results = choice.of(operator, (first, *entry.shape[1:]), numbers)
    for index, lines in zip(operator.outputs, results, strict=True):
        places: list[Sequence[int]] = [range(size) for size in source.shape]
        for axis, line in enumerate(lines):
            if [*line] != [*range(taken[axis])]:
                places[place_of(replace(entry, shape=taken), network.batch, axis)] = line
        tensor = network.file.tensors[index]
        _define(network, tensor, chosen(network, tensor, source, places))


def concatenation(network: Network, operator: Operator) -> None:
    """CONCATENATION along any axis; constants are maps."""
    if operator.option("FusedActivationFunction"):
        raise InputError("a fused activation is not supported")
    tensor = network.target(operator)
    place = place_of(tensor, network.batch, operator.option("Axis"))
    sources = [_part(network, operator, k) for k in range(len(operator.inputs))]
    _joined(network, operator, sources, place)


def _part(network: Network, operator: Operator, place: int) -> Value:
    """An input, which may be a constant."""
    if not is_constant(network, operator, place):
        return network.image(operator, place)
    tensor = network.tensor(operator, place)
    assert tensor is not None
    return constant_map(network, operator, place, map_shape(tensor, network.batch))


def _joined(network: Network, operator: Operator, sources: list[Value], place: int) -> None:
    tensor = network.target(operator)
    wanted = map_shape(tensor, network.batch)
    others = [[*s.shape[:place], *s.shape[place + 1 :]] for s in sources]
    if not sources or any(other != others[0] for other in others):
        raise InputError(f"inputs must differ in one axis only, not {[s.shape for s in sources]}")
    target = network.new_map(tensor, wanted)
    for source in sources:
        same_quantization(source.codes, target.codes)
    made = [*sources[0].shape]
    made[place] = sum(source.shape[place] for source in sources)
    if (*made,) != wanted:
        raise InputError(f"result must have shape (H, W, C) = {(*made,)}, not {wanted}")
    network.add(operator, Concat(-1 if place == 2 else place - 3), sources, target, wanted)


def pack(network: Network, operator: Operator) -> None:
    """PACK: values side by side along a new axis."""
    tensor = network.target(operator)
    place = place_of(tensor, network.batch, operator.option("Axis"))
    size = [*map_shape(tensor, network.batch)]
    size[place] = 1
    shape = size[0], size[1], size[2]
    sources = []
    for k in range(len(operator.inputs)):
        value, part = network.plain(operator, k), network.tensor(operator, k)
        if part is None or np.prod(value.shape) != np.prod(shape):
            raise InputError(f"input {k} does not fit a result of {tensor.shape}")
        source = value.source
        if source.shape != shape:
            source = network.reshaped(part, source, shape)
        sources.append(source)
    _joined(network, operator, sources, place)


def pad(network: Network, operator: Operator) -> None:
    """PAD, PADV2: a border of zero points, which windows take in, or of another code."""
    value, source = network.bordered(operator), network.tensor(operator, 0)
    assert source is not None
    numbers = network.tensor(operator, 1)
    border = network.constant(operator, 1, numbers.kind if numbers else "int32")
    if (
        border.shape != (len(source.shape), 2)
        or not 0 <= int(border.min()) <= border.max() < 1 << 20
    ):
        raise InputError(f"padding {border.tolist()} does not fit {source.shape}")
    sides = [[0, 0], [0, 0], [0, 0]]
    for axis, pair in enumerate(border.tolist()):
        if any(pair):
            sides[place_of(source, network.batch, axis)] = pair
    tensor, zero = network.target(operator), value.source.codes.zero
    code = zero
    if len(operator.inputs) > 2:
        code = int(network.constant(operator, 2, "int8").reshape(-1)[0])
    if any(sides[2]):
        value = _more_channels(network, tensor, network.plain(operator), sides[2], code)
    if code != zero and any(sides[0] + sides[1]):
        _other_border(network, operator, value, sides, code)
        return
    _bordered(network, tensor, value, sides)


def _bordered(network: Network, tensor: Tensor, value: Meaning, sides: list[list[int]]) -> None:
    """A border of rows and columns that the next operator makes."""
    (top, bottom), (left, right) = sides[:2]
    height, width, channels = value.shape
    shape = (height + top + bottom, width + left + right, channels)
    if (computed := map_shape(tensor, network.batch)) != shape:
        raise InputError(f"result must have shape (H, W, C) = {shape}, not {computed}")
    old = value.padding
    whole = (old[0] + top, old[1] + left, old[2] + bottom, old[3] + right)
    same_codes(value.source.codes, tensor)
    network.values[tensor.index] = Meaning(value.source, shape, whole)


def _more_channels(
    network: Network, tensor: Tensor, value: Meaning, pair: list[int], code: int
) -> Meaning:
    """Channels before and after, all of one code."""
    before, after = pair
    source = value.source
    count = source.shape[2]
    network.spend(count * (before + count + after))
    weight = np.pad(np.eye(count, dtype=np.int64), [(0, 0), (before, after)])
    bias = np.full(before + count + after, code - source.codes.zero, np.int64)
    bias[before : before + count] = 0
    made = copied(network, tensor, source, weight[None, None], bias)
    return Meaning(made, made.shape)


def _other_border(
    network: Network, operator: Operator, value: Meaning, sides: list[list[int]], code: int
) -> None:
    """A border of a code: that of zero of a copy whose codes mean something else."""
    if not LOW <= code <= HIGH:
        raise InputError(f"padding with {code} is not possible")
    tensor, whole = network.target(operator), network.plain(operator)
    source = value.source if value.padding == (0, 0, 0, 0) else whole.source
    scale, codes = copying(source.codes.zero), Affine8(source.codes.scale, code)
    name = network.parts.free(f"{tensor.name}.inside")
    inside = network.parts.map(name, source.shape, codes)
    label = network.node_name(tensor, ".inside")
    network.parts.add(label, Elementwise(scale), (source.name,), inside.name, "inside")
    same_codes(source.codes, tensor)
    relabelled = replace(tensor, zeros=np.array([code]))
    _bordered(network, relabelled, Meaning(inside, inside.shape), sides)
    made = network.with_border(relabelled, network.values[tensor.index]).source
    if made is not inside:
        network.parts.values[made.name] = replace(made, format=Affine8(*quantization(tensor)))
        made = network.parts.values[made.name]
    network.values[tensor.index] = Meaning(made, made.shape)
