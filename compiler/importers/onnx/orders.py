"""Where the elements of a file's tensors lie in a graph's values.

A file has (C, H, W), (C, L) or vectors and reorders them at will; a graph has maps (H, W, C) and
vectors. So a tensor is a value and the place in it of each of the tensor's elements; reshaping and
transposing only change the places. What an axis means follows from them alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import numpy.typing as npt

from pulsarray.compiler.importers.inputs import NO_AXIS

__all__ = [
    "NO_AXIS",
    "Arrangement",
    "Ints",
    "Shape",
    "Tensor",
    "arranged",
    "channel_axis",
    "crossings",
    "places_at",
    "usual_shape",
]

Ints = npt.NDArray[np.int64]
Shape = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Tensor:
    """What a name in a file stands for.

    Parameters
    ----------
    value
        Name of a value of the graph.
    shape
        Shape in the file, without the batch.
    order
        Place of each element in the value, of this shape; None for the usual order: (C, ...) of a
        map (H, W, C), a vector as it is.
    batch_axis
        The axis of samples in the file; :data:`NO_AXIS` of a batch of one that has none.
    """

    value: str
    shape: Shape
    order: Ints | None = None
    batch_axis: int = 0

    @property
    def places(self) -> Ints:
        """Place of each element in the value."""
        return usual_places(self.shape) if self.order is None else self.order

    @property
    def whole_places(self) -> Ints:
        """The same in all axes that the file has, the batch among them, for one sample."""
        axis = self.batch_axis
        return self.places if axis == NO_AXIS else np.expand_dims(self.places, axis)


@dataclass(frozen=True, eq=False)
class Arrangement:
    """How a value has the elements of a file's tensor: its shape, and the place of each.

    Of whole numbers below ``kinds``, if that is not 0, it has one-hot rows, in those places.
    """

    shape: Shape
    places: Ints
    kinds: int = 0


def usual_shape(shape: Shape) -> Shape:
    """Shape of the value that a tensor usually is: vectors as they are, all others maps."""
    if len(shape) < 2:
        return shape or (1,)
    channels, *rest = shape
    return prod(rest[:-1]), rest[-1], channels


def usual_places(shape: Shape) -> Ints:
    """Places of a tensor's elements in the value that it usually is."""
    numbers = np.arange(prod(shape))
    if len(shape) < 2:
        return numbers.reshape(shape)
    return np.moveaxis(numbers.reshape(*shape[1:], shape[0]), -1, 0)


def arranged(value: str, value_shape: Shape, places: Ints) -> Tensor:
    """A tensor with its elements at those places, in the usual order if it is that."""
    shape = tuple(int(size) for size in places.shape)
    usual = value_shape == usual_shape(shape) and np.array_equal(places, usual_places(shape))
    return Tensor(value, shape, None if usual else places)


def crossings(places: Ints, sizes: Shape) -> tuple[Ints, ...]:
    """Row, column and channel, or whatever axes have those sizes, of each place.

    ``numpy.unravel_index`` (2.4.6) errs on more than 8,192 elements with a last axis of size 1.
    """
    lines = []
    for size in reversed(sizes):
        places, line = np.divmod(places, size)
        lines.append(line)
    return tuple(reversed(lines))


def places_at(lines: Sequence[Ints], sizes: Shape) -> Ints:
    """The place of each row, column and channel: what :func:`crossings` takes apart."""
    places = np.zeros_like(lines[0])
    for line, size in zip(lines, sizes, strict=True):
        places = places * size + line
    return places


def channel_axis(tensor: Tensor, channels: int, axis: int) -> Ints | None:
    """The channel of the value at each index of an axis; None if that depends on other axes."""
    if tensor.shape[axis] != channels:
        return None
    if tensor.order is None and axis == 0:
        return np.arange(channels)
    rows = np.moveaxis(tensor.places, axis, 0).reshape(channels, -1) % channels
    return rows[:, 0] if bool((rows == rows[:, :1]).all()) else None
