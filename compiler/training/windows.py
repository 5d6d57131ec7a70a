"""Windows of feature maps (images, H, W, C) as NumPy sees them: gathered, scattered, compared."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from pulsarray.compiler.ir.value import Shape
from pulsarray.compiler.ir.window import Window
from pulsarray.compiler.ops.images import padded, taps, unpadded

__all__ = ["gather", "grouped", "largest", "route", "scatter", "spread", "total"]

Array = npt.NDArray[Any]


def _views(values: Array, window: Window, fill: float = 0) -> list[Array]:
    """What each element of the kernel sees in all windows, row by row."""
    around, places = padded(values, window.padding, fill), _places(values.shape[1:3], window)
    return [around[place] for place in places]


def _places(size: Shape, window: Window) -> Iterator[tuple[slice, slice, slice]]:
    """Where each element of the kernel sees padded maps."""
    return (place for *_, place in taps(window, *window.output(*size)))


def gather(values: Array, window: Window) -> Array:
    """All that each output sees, (images, H', W', kh, kw, C), zeros around the map."""
    seen = np.stack(_views(values, window), axis=3)
    return seen.reshape(*seen.shape[:3], *window.kernel, -1)


def scatter(parts: Array, window: Window, given: Shape) -> Array:
    """What :func:`gather` took, added up where it was taken: (images, *given)."""
    whole = padded(np.zeros((len(parts), *given), parts.dtype), window.padding)
    flat = parts.reshape(*parts.shape[:3], -1, given[2])
    for number, place in enumerate(_places(given[:2], window)):
        whole[place] += flat[:, :, :, number]
    return unpadded(whole, window.padding)


def _least(values: Array) -> int:
    """What no value is smaller than."""
    return int(np.iinfo(values.dtype).min)


def largest(values: Array, window: Window) -> Array:
    """The largest value of each window; padding never counts."""
    return np.asarray(np.maximum.reduce(_views(values, window, _least(values))))


def total(values: Array, window: Window) -> Array:
    """The sum of each window without padding."""
    return np.asarray(np.add.reduce(_views(values, window)))


def spread(error: Array, window: Window, given: Shape) -> Array:
    """Each window's error where it sees the source; 0 where no window is."""
    found = np.zeros((len(error), *given), error.dtype)
    for place in _places(given[:2], window):
        found[place] = error
    return found


def route(error: Array, values: Array, window: Window) -> Array:
    """Each window's error where the first of its largest values is, row by row, added up."""
    around, left = padded(values, window.padding, _least(values)), error.copy()
    found = np.zeros(around.shape, error.dtype)
    most = largest(values, window)
    for place in _places(values.shape[1:3], window):
        is_largest = around[place] == most
        found[place] += np.where(is_largest, left, 0)
        left = np.where(is_largest, 0, left)
    return unpadded(found, window.padding)


def grouped(shape: Shape, groups: int) -> Iterator[tuple[slice, slice]]:
    """Channels and results of each group, of weights of shape (kh, kw, C / groups, N)."""
    depth, count = shape[2], shape[3] // groups
    for group in range(groups):
        yield (
            slice(group * depth, (group + 1) * depth),
            slice(group * count, (group + 1) * count),
        )
