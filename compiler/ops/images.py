"""What operators on feature maps (H, W, C) have in common: shapes, padding, what windows see."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from pulsarray.compiler.ir.value import Array, Shape
from pulsarray.compiler.ir.window import Window
from pulsarray.errors import InputError

__all__ = ["channels", "draw_window", "image", "padded", "taps", "unpadded"]

Padding = tuple[int, int, int, int]


def image(shape: Shape) -> tuple[int, int, int]:
    """Height, width and channels of a feature map.

    Raises
    ------
    InputError
        If it is none.
    """
    if len(shape) != 3:
        raise InputError(f"input must have shape (H, W, C), not {shape}")
    return shape[0], shape[1], shape[2]


def channels(shape: Shape) -> int:
    """Size of the last axis.

    Raises
    ------
    InputError
        If there is none.
    """
    if not shape:
        raise InputError("input must have channels, not shape ()")
    return shape[-1]


def padded(x: Array, padding: Padding, fill: float = 0.0) -> Array:
    """Maps (N, H, W, C) with rows and columns around them: at top, left, bottom, right."""
    top, left, bottom, right = padding
    if not any(padding):
        return x
    around = ((0, 0), (top, bottom), (left, right), (0, 0))
    return np.pad(x, around, constant_values=fill)


def unpadded(x: Array, padding: Padding) -> Array:
    """Maps without what :func:`padded` put around them."""
    top, left, bottom, right = padding
    return x[:, top : x.shape[1] - bottom, left : x.shape[2] - right]


def taps(
    window: Window, rows: int, columns: int
) -> Iterator[tuple[int, int, tuple[slice, slice, slice]]]:
    """For each element of a kernel, where so many windows see it in padded maps (N, H, W, C)."""
    for y in range(window.kernel[0]):
        for x in range(window.kernel[1]):
            top, left = y * window.dilation[0], x * window.dilation[1]
            down, right = window.stride
            yield (
                y,
                x,
                (
                    slice(None),
                    slice(top, top + (rows - 1) * down + 1, down),
                    slice(left, left + (columns - 1) * right + 1, right),
                ),
            )


def draw_window(rng: np.random.Generator, height: int, width: int) -> Window:
    """A random window that fits a map, with less padding than it is large."""
    kernel = tuple(int(rng.integers(1, min(3, size) + 1)) for size in (height, width))
    stride = tuple(int(size) for size in rng.integers(1, 3, 2))
    dilation = tuple(
        int(rng.integers(1, 3)) if (k - 1) * 2 < size else 1
        for k, size in zip(kernel, (height, width), strict=True)
    )
    window = Window(kernel, stride, dilation=dilation)  # type: ignore[arg-type]
    sizes = [window.extent(axis) for axis in (0, 1)] * 2
    padding = tuple(int(rng.integers(0, min(3, size))) for size in sizes)
    return replace(window, padding=padding)  # type: ignore[arg-type]
