"""Overlapping frames of a signal, and what multiplies them: one convolution with a stride."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np
import numpy.typing as npt

from pulsarray.compiler.importers.tflite.choices import CHOICES
from pulsarray.compiler.importers.tflite.file import Operator
from pulsarray.compiler.importers.tflite.real_moving import choose, chosen
from pulsarray.compiler.importers.tflite.real_network import Frames, RealNetwork
from pulsarray.compiler.ir.value import Floats, Value
from pulsarray.compiler.ir.window import Window
from pulsarray.compiler.ops.convolution import Convolution

__all__ = ["gather", "multiplied"]

Ints = npt.NDArray[np.int64]


def gather(network: RealNetwork, operator: Operator) -> Sequence[Value]:
    """GATHER of constant indices; of frames a convolution, which what multiplies them changes."""
    tensor, indices = network.tensor(operator, 0), network.tensor(operator, 1)
    lines = network.integers(operator, 1, "indices")
    places = np.array(lines, np.int64).reshape(indices.shape)
    _ = CHOICES[operator.kind].of(operator, network.whole_shape(tensor), [lines])
    axis, value = network.axis(tensor, operator.option("Axis")), network.value(operator)
    if prod(value.shape[:axis]) != 1 or not _are_frames(places):
        return choose(network, operator)
    size, channels = value.shape[axis], prod(value.shape[len(value.shape) + axis + 1 :])
    (count, length), first, last = places.shape, int(places[0, 0]), int(places[-1, -1])
    step = int(places[1, 0]) - first
    signal = network.shaped(operator, value, (1, size, channels))
    if first or (size - length) // step + 1 != count:
        shape, some = (network.batch, 1, size, channels), range(first, last + 1)
        whole = [range(network.batch), range(1), some, range(channels)]
        signal = network.shaped(operator, chosen(network, operator, signal, shape, whole),
                                (1, len(some), channels))  # fmt: skip
    network.spend((length * channels) ** 2)
    frames = Frames(signal, Window((1, length), (1, step)), np.ones(length * channels))
    return [_put(network, operator, frames, (count, length, channels))]


def _are_frames(places: Ints) -> bool:
    """Whether each row is of places one after the other, all as far apart from the one before."""
    if places.ndim != 2 or min(places.shape) < 2:
        return False
    (count, length), first = places.shape, int(places[0, 0])
    step = int(places[1, 0]) - first
    wanted = first + step * np.arange(count)[:, None] + np.arange(length)
    return step > 0 and bool(np.array_equal(places, wanted))


def _put(network: RealNetwork, operator: Operator, frames: Frames, sizes: tuple[int, ...]) -> Value:
    learned = {"weight": frames.weight, "bias": np.zeros(frames.matrix.shape[-1])}
    made = network.product(operator, Convolution(frames.window), frames.signal, learned)
    network.frames[made.name] = frames
    return network.shaped(operator, made, sizes)


def multiplied(
    network: RealNetwork, operator: Operator, value: Value, matrix: Floats
) -> Value | None:
    """Rows of frames times a matrix (elements, results), or diagonal; None for what is none."""
    frames = network.frames.get(value.name)
    if frames is None or value.shape[-1] != frames.matrix.shape[-1]:
        return None
    sizes = (*value.shape[:-1], matrix.shape[-1])
    return _put(network, operator, frames.times(matrix), sizes)
