"""What windows see of feature maps (N, H, W, C), exactly."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from pulsarray.compiler.ir.window import Window

__all__ = ["padded", "seen_size", "taps"]

Floats = npt.NDArray[np.float64]


def padded(window: Window, codes: npt.NDArray[np.generic], value: int) -> Floats:
    """The input in float64, which is exact, with a border of one value."""
    top, left, bottom, right = window.padding
    border = ((0, 0), (top, bottom), (left, right), (0, 0))
    return np.pad(codes.astype(np.float64), border, constant_values=value)


def taps(window: Window, inside: Floats) -> Iterator[tuple[int, int, Floats]]:
    """What each element of a kernel sees of a padded input, for all results: (N, H', W', C)."""
    rows, columns = seen_size(window, inside)
    for y in range(window.kernel[0]):
        for x in range(window.kernel[1]):
            top, left = y * window.dilation[0], x * window.dilation[1]
            bottom = top + (rows - 1) * window.stride[0] + 1
            right = left + (columns - 1) * window.stride[1] + 1
            yield y, x, inside[:, top : bottom : window.stride[0], left : right : window.stride[1]]


def seen_size(window: Window, inside: Floats) -> tuple[int, int]:
    """Rows and columns of a window's result on an input with its border."""
    bare = Window(window.kernel, window.stride, (0, 0, 0, 0), window.dilation)
    return bare.output(inside.shape[1], inside.shape[2])
