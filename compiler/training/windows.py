"""Windows of feature maps (images, H, W, C) as NumPy sees them: gathered, scattered, compared."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from pulsarray.compiler.ir.window import Window
from pulsarray.compiler.training.layers import MapLayer, MapShape

__all__ = ["gather", "grouped", "largest", "route", "scatter", "spread", "total"]

Array = npt.NDArray[Any]


def _taps(window: Window, result: MapShape) -> Iterator[tuple[int, int, slice, slice]]:
    """For each element of the kernel the rows and columns that it sees of a padded map."""
    for y in range(window.kernel[0]):
        for x in range(window.kernel[1]):
            top, left = y * window.dilation[0], x * window.dilation[1]
            down, right = window.stride
            yield (
                y,
                x,
                slice(top, top + (result[0] - 1) * down + 1, down),
                slice(left, left + (result[1] - 1) * right + 1, right),
            )


def gather(values: Array, window: Window, result: MapShape) -> Array:
    """All that each output sees, (images, H', W', kh, kw, C), zeros around the map."""
    top, left, bottom, right = window.padding
    padded = np.pad(values, ((0, 0), (top, bottom), (left, right), (0, 0)))
    shape = (len(values), *result[:2], *window.kernel, values.shape[3])
    found = np.empty(shape, values.dtype)
    for y, x, rows, columns in _taps(window, result):
        found[:, :, :, y, x] = padded[:, rows, columns]
    return found


def scatter(parts: Array, window: Window, given: MapShape, result: MapShape) -> Array:
    """What :func:`gather` took, added up where it was taken: (images, *given)."""
    top, left, bottom, right = window.padding
    height, width = given[0] + top + bottom, given[1] + left + right
    total = np.zeros((len(parts), height, width, given[2]), parts.dtype)
    for y, x, rows, columns in _taps(window, result):
        total[:, rows, columns] += parts[:, :, :, y, x]
    return total[:, top : top + given[0], left : left + given[1]]


def _around(values: Array, window: Window) -> Array:
    """With a border that no value is smaller than."""
    top, left, bottom, right = window.padding
    border = ((0, 0), (top, bottom), (left, right), (0, 0))
    least = -np.inf if values.dtype.kind == "f" else np.iinfo(values.dtype).min
    return np.pad(values, border, constant_values=least)


def largest(values: Array, window: Window, result: MapShape) -> Array:
    """The largest value of each window; padding never counts."""
    padded = _around(values, window)
    views = (padded[:, rows, columns] for _, _, rows, columns in _taps(window, result))
    return np.asarray(np.maximum.reduce(list(views)))


def total(values: Array, window: Window, result: MapShape) -> Array:
    """The sum of each window without padding."""
    views = [values[:, rows, columns] for _, _, rows, columns in _taps(window, result)]
    return np.asarray(np.add.reduce(views))


def spread(error: Array, window: Window, given: MapShape, result: MapShape) -> Array:
    """Each window's error where it sees the source; 0 where no window is."""
    found = np.zeros((len(error), *given), error.dtype)
    for _, _, rows, columns in _taps(window, result):
        found[:, rows, columns] = error
    return found


def route(error: Array, values: Array, window: Window, result: MapShape) -> Array:
    """Each window's error where the first of its largest values is, row by row, added up."""
    padded, left = _around(values, window), error.copy()
    found = np.zeros(padded.shape, error.dtype)
    most = largest(values, window, result)
    for _, _, rows, columns in _taps(window, result):
        mine = padded[:, rows, columns] == most
        found[:, rows, columns] += np.where(mine, left, 0)
        left = np.where(mine, 0, left)
    (top, first, _, _), (height, width) = window.padding, values.shape[1:3]
    return found[:, top : top + height, first : first + width]


def grouped(layer: MapLayer) -> Iterator[tuple[slice, slice]]:
    """Channels and results of each group."""
    depth, count = layer.given[2] // layer.groups, layer.result[2] // layer.groups
    for group in range(layer.groups):
        yield (
            slice(group * depth, (group + 1) * depth),
            slice(group * count, (group + 1) * count),
        )
