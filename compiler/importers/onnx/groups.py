"""Groups of channels as rows of their own, and rows as groups of channels: heads of attention."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pulsarray.compiler.importers.onnx.orders import Ints, Shape
from pulsarray.compiler.ir.operator import Operator
from pulsarray.compiler.ir.value import Floats
from pulsarray.compiler.ir.window import Window
from pulsarray.compiler.ops.convolution import Convolution
from pulsarray.compiler.ops.transposed import TransposedConvolution

__all__ = ["Grouping", "grouping"]


_LARGEST = 1 << 24
"""Elements of a product's weights."""


@dataclass(frozen=True, eq=False)
class Grouping:
    """A product with 0 and 1 after which an axis of a tensor is the channels of its value.

    Parameters
    ----------
    op, weight
        The product.
    places
        Where the tensor's elements are in its result.
    """

    op: Operator
    weight: Floats
    places: Ints


def grouping(places: Ints, shape: Shape, axis: int) -> Grouping | None:
    """The product for elements at those places of a map (H, W, C); None if there is none."""
    lines = np.moveaxis(places, axis, -1)
    size, channels = lines.shape[-1], shape[2]
    if max(size, channels) ** 2 > _LARGEST:
        return None
    if 1 < size < channels and channels % size == 0:
        made = _split(lines, shape)
    elif size > channels and size % channels == 0 and shape[0] % (size // channels) == 0:
        made = _joined(lines, shape)
    else:
        return None
    return made and Grouping(made.op, made.weight, np.moveaxis(made.places, -1, axis))


def _split(lines: Ints, shape: Shape) -> Grouping | None:
    """A row for each group of channels."""
    size, (_, width, channels) = lines.shape[-1], shape
    first, parts = lines[..., :1], channels // size
    if (first % size).any() or not np.array_equal(lines, first + np.arange(size)):
        return None
    (row, column), group = np.divmod(first // channels, width), first % channels // size
    places = ((row * parts + group) * width + column) * size + np.arange(size)
    weight = np.eye(channels).reshape(channels, parts, size).transpose(1, 0, 2)[:, None]
    op = TransposedConvolution(Window((parts, 1), (parts, 1)))
    return Grouping(op, weight, places)


def _joined(lines: Ints, shape: Shape) -> Grouping | None:
    """Rows that follow one another as groups of channels."""
    size, (_, width, channels) = lines.shape[-1], shape
    first, parts = lines[..., :1], size // channels
    row, column = np.divmod(first // channels, width)
    steps = np.arange(parts)[:, None] * width * channels + np.arange(channels)
    begins = not (first % channels).any() and not (row % parts).any()
    if not (begins and np.array_equal(lines, first + steps.reshape(-1))):
        return None
    places = (row // parts * width + column) * size + np.arange(size)
    weight = np.eye(size).reshape(parts, 1, channels, size)
    return Grouping(Convolution(Window((parts, 1), (parts, 1))), weight, places)
