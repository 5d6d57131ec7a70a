"""ONNX operators that move elements or leave some out: Slice, Split, Gather, Resize and others.

What such an operator does to places is what it does to elements; so it is computed on these. What
is left of a value after that is cut out of it by products with 0 and 1, which round nothing away.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod

import numpy as np

from pulsarray.compiler.importers.onnx.constants import COMPUTED, fold_constant
from pulsarray.compiler.importers.onnx.file import Call
from pulsarray.compiler.importers.onnx.joining import parts_of
from pulsarray.compiler.importers.onnx.linear import LARGEST_MATRIX, gathered
from pulsarray.compiler.importers.onnx.orders import (
    NO_AXIS,
    Ints,
    Tensor,
    arranged,
    crossings,
    places_at,
)
from pulsarray.compiler.importers.onnx.tensors import OTHER_BATCH, Network
from pulsarray.compiler.ir.value import Array
from pulsarray.compiler.ir.window import Window
from pulsarray.compiler.ops.convolution import Convolution
from pulsarray.compiler.ops.dense import Dense
from pulsarray.compiler.ops.transposed import TransposedConvolution
from pulsarray.errors import InputError

__all__ = ["cut", "depth_to_space", "of_one_sample", "place", "space_to_depth", "split"]

_MOST_SAMPLES = 1 << 31
"""Samples of a batch at most on which it is seen that a Slice keeps them all."""
_SAMPLES = 3
"""Samples on which it is seen that an operator keeps them apart."""


def cut(network: Network, call: Call) -> None:
    """Slice, or Gather with constant indices."""
    constants = [network.raw(name, call.where, "operand") for name in call.inputs[1:] if name]
    opset = network.file.opset
    if network.file.batch == 1:
        tensor = network.tensor_of_any_order(call.inputs[0], call.where)
        _place_some(network, call, fold_constant(call, [tensor.whole_places, *constants], opset))
        return
    samples, axis = _samples(network, call)
    made = fold_constant(call, [samples, *constants], opset)
    if call.kind == "Slice":
        count = min(network.file.batch or OTHER_BATCH, _MOST_SAMPLES)
        sizes = (*samples.shape[:axis], count, *samples.shape[axis + 1 :])
        many = np.broadcast_to(np.int64(0), sizes)
        sliced = COMPUTED["Slice"](call, [many, *constants], opset)
        _check_batch(call, np.shape(sliced)[axis] == count)
    else:
        _check_batch(call, call.integer("axis", 0) % samples.ndim != axis)
    _place_apart(network, call, made, call.outputs[0])


def _place_some(network: Network, call: Call, places: Array) -> None:
    """Make the result of those elements of the only sample."""
    if not places.size:
        raise InputError(f"{call.where}: {call.kind} leaves nothing")
    tensor = network.tensor_of_any_order(call.inputs[0], call.where)
    place(network, call, tensor, np.asarray(places), call.outputs[0], NO_AXIS)


def split(network: Network, call: Call) -> None:
    """Parts along an axis, each a result."""
    (samples, batch), axis = _samples(network, call), call.integer("axis", 0)
    if not -samples.ndim <= axis < samples.ndim:
        raise InputError(f"{call.where}: Split has no axis {axis}")
    _check_batch(call, axis % samples.ndim != batch)
    ends = np.cumsum(_parts(network, call, samples.shape[axis]))
    if ends[-1] != samples.shape[axis]:
        raise InputError(
            f"{call.where}: {samples.shape[axis]} elements are not {ends[-1]} in parts"
        )
    for name, part in zip(call.outputs, np.split(samples, ends[:-1], axis), strict=True):
        if name:
            _place_apart(network, call, part, name)


def _parts(network: Network, call: Call, size: int) -> Sequence[int]:
    """Sizes of the parts."""
    sizes = call.integers("split")
    if call.given(1):
        sizes = network.integers(call.given(1), call.where, "split")
    count = len(call.outputs)
    if sizes is None:
        part = -(-size // count)
        sizes = (*[part] * (count - 1), size - part * (count - 1))
    if len(sizes) != count or min(sizes) < 1:
        raise InputError(f"{call.where}: Split needs {count} sizes of at least 1, not {sizes}")
    return sizes


def _samples(network: Network, call: Call) -> tuple[Ints, int]:
    """Places of the elements of some samples, one after the other, and the axis of the batch."""
    tensor = network.tensor_of_any_order(call.inputs[0], call.where)
    places, axis = network.places(tensor, call.where), network.batch_axis(call.inputs[0])
    return np.stack([places + k * places.size for k in range(_SAMPLES)], axis), axis


def of_one_sample(call: Call, made: Array, size: int) -> tuple[Ints, int]:
    """Elements of one sample of those of some, which have so many each, and the batch's axis.

    Raises
    ------
    InputError
        If samples are mixed or left out, or nothing is left.
    """
    axes = [axis for axis in range(made.ndim) if _is_batch(made, axis, size)]
    _check_batch(call, made.ndim > 1 and made.size > 0 and len(axes) == 1)
    return np.asarray(made.take(0, axes[0])), axes[0]


def _place_apart(network: Network, call: Call, made: Array, output: str) -> None:
    """Make a result of one sample's elements of those of some."""
    tensor = network.tensor_of_any_order(call.inputs[0], call.where)
    places, batch_axis = of_one_sample(call, made, prod(tensor.shape))
    place(network, call, tensor, places, output, batch_axis)


def _is_batch(made: Array, axis: int, size: int) -> bool:
    """Whether an axis is that of the samples, of so many elements each."""
    starts = size * np.arange(_SAMPLES).reshape(-1, *[1] * (made.ndim - 1 - axis))
    return made.shape[axis] == _SAMPLES and np.array_equal(made, made.take([0], axis) + starts)


def _check_batch(call: Call, keeps: bool) -> None:
    """Refuse an operator that does not keep all samples of any batch, each by itself."""
    if not keeps:
        raise InputError(
            f"{call.where}: {call.kind} must keep all samples of a batch, and elements of each"
        )


def place(
    network: Network, call: Call, tensor: Tensor, places: Ints, output: str, batch_axis: int = 0
) -> None:
    """Make a result of those elements of a tensor's value.

    They are cut out where they are all crossings of some rows, columns and channels, evenly spaced.

    Raises
    ------
    InputError
        If they are not, and too many.
    """
    value, places = parts_of(network, tensor.value, places, output)
    tensor, sizes = replace(tensor, value=value), (1, 1, *network.shape(value))[-3:]
    wanted = np.unique(places)
    lines = [np.unique(line) for line in crossings(wanted, sizes)]
    rows, columns, channels = lines
    even = all(len({*np.diff(line)}) <= 1 for line in (rows, columns))
    whole = len(rows) * len(columns) * len(channels) == wanted.size == places.size
    if not (whole and even):
        made = gathered(network, call, tensor.value, places, output)
        network.define(output, made, batch_axis)
        return
    value = _cropped(network, tensor.value, output, rows, columns)
    value = _chosen(network, value, output, channels)
    at = crossings(places, sizes)
    inside = [np.searchsorted(line, where) for line, where in zip(lines, at, strict=True)]
    order = places_at(inside, tuple(len(line) for line in lines))
    network.define(output, arranged(value, network.shape(value), order), batch_axis)


def _cropped(network: Network, value: str, output: str, rows: Ints, columns: Ints) -> str:
    """Rows and columns of a map: what is around them is cut off, then some are left out."""
    shape = network.shape(value)
    if len(shape) < 3 or (len(rows), len(columns)) == shape[:2]:
        return value
    sides = (rows[0], columns[0], shape[0] - 1 - rows[-1], shape[1] - 1 - columns[-1])
    ones = np.ones((1, 1, shape[2], 1))
    if any(sides):
        top, left, bottom, right = (int(side) for side in sides)
        window = Window((1, 1), padding=(top, left, bottom, right))
        op = TransposedConvolution(window, groups=shape[2])
        value = _moved(network, value, f"{output} inside", op, ones)
    steps = [int(line[1] - line[0]) if len(line) > 1 else 1 for line in (rows, columns)]
    if steps != [1, 1]:
        spaced = Convolution(Window((1, 1), (steps[0], steps[1])), shape[2])
        value = _moved(network, value, f"{output} spaced", spaced, ones.transpose(0, 1, 3, 2))
    return value


def _chosen(network: Network, value: str, output: str, channels: Ints) -> str:
    """Channels of a value."""
    shape = network.shape(value)
    if len(channels) == shape[-1]:
        return value
    if shape[-1] * len(channels) > LARGEST_MATRIX:
        raise InputError(
            f"{output}: {len(channels)} of {shape[-1]} channels are too many to be chosen; their "
            f"product may be up to {LARGEST_MATRIX}"
        )
    weight = np.zeros((shape[-1], len(channels)))
    weight[channels, np.arange(len(channels))] = 1.0
    if len(shape) == 1:
        return _moved(network, value, f"{output} chosen", Dense(), weight)
    return _moved(
        network, value, f"{output} chosen", Convolution(Window((1, 1))), weight[None, None]
    )


def _moved(
    network: Network, value: str, name: str, op: Convolution | TransposedConvolution | Dense,
    weight: Array,
) -> str:  # fmt: skip
    """A product with 0 and 1, which training leaves alone."""
    results = weight.shape[-1] * getattr(op, "groups", 1)
    if isinstance(op, Convolution):
        results = weight.shape[-1]
    constants = {"weight": weight, "bias": np.zeros(results)}
    name = network.fresh(name)
    return network.emit(name, op, (value,), name, constants=constants).value


def depth_to_space(network: Network, call: Call) -> None:
    """Channels become rows and columns of blocks."""
    tensor, block = network.image(call.inputs[0], call.where), _block(call)
    channels = tensor.shape[0]
    if len(tensor.shape) != 3 or channels % block**2:
        raise InputError(f"{call.where}: {channels} channels are no blocks of {block} x {block}")
    left, numbers = channels // block**2, np.arange(channels)
    order = _blocks(call, numbers, block)
    weight = (numbers[:, None] == order[:, :, None, :]).astype(np.float64)
    op = TransposedConvolution(Window((block, block), (block, block)))
    value = _moved(network, tensor.value, call.outputs[0], op, weight)
    network.define(call.outputs[0], Tensor(value, (left, *(block * n for n in tensor.shape[1:]))))


def space_to_depth(network: Network, call: Call) -> None:
    """Rows and columns of blocks become channels."""
    tensor, block = network.image(call.inputs[0], call.where), _block(call)
    channels, *sizes = tensor.shape
    if len(sizes) != 2 or any(size % block for size in sizes):
        raise InputError(f"{call.where}: {tuple(sizes)} are no blocks of {block} x {block}")
    numbers = np.arange(channels * block**2)
    weight = (_blocks(call, numbers, block)[..., None] == numbers).astype(np.float64)
    op = Convolution(Window((block, block), (block, block)))
    value = _moved(network, tensor.value, call.outputs[0], op, weight)
    shape = (channels * block**2, *(size // block for size in sizes))
    network.define(call.outputs[0], Tensor(value, shape))


def _block(call: Call) -> int:
    block = call.integer("blocksize", 0)
    if block < 1:
        raise InputError(f"{call.where}: blocksize must be at least 1, not {block}")
    return block


def _blocks(call: Call, numbers: Ints, block: int) -> Ints:
    """Channels by row and column of a block, and channel outside of it."""
    mode = call.text("mode", "DCR")
    if mode not in ("DCR", "CRD"):
        raise InputError(f"{call.where}: mode must be DCR or CRD, not {mode!r}")
    if mode == "DCR":
        return numbers.reshape(block, block, -1)
    return numbers.reshape(-1, block, block).transpose(1, 2, 0)
