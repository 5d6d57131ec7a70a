"""Kernels without what sees no map, and maps as columns where a row of a kernel fits no bank."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pulsarray.compiler.ir.value import Array
from pulsarray.compiler.ir.window import Window
from pulsarray.compiler.lower.windows import LARGEST_STEP
from pulsarray.compiler.machine.views import Stored
from pulsarray.config import Config

__all__ = ["as_column", "kernel_as_column", "seen_kernel"]


def as_column(stored: Stored) -> Stored:
    """A map with all of its pixels in one column, in the same words."""
    return replace(stored, height=stored.height * stored.width, width=1)


def kernel_as_column(
    source: Stored, window: Window, weight: Array, config: Config
) -> tuple[Window, Array] | None:
    """Window and weights that make of a map as a column what they made of it.

    None where nothing is won: weights of a row fit a bank and its taps are no more apart than
    windows step, or not even one tile and what a pixel sees; or where it cannot be: of a map with
    several rows the kernel must be all that is seen.
    """
    (height, width), (top, left, bottom, right) = window.kernel, window.padding
    bank, (stride, dilation) = config.scratchpad_depth, (window.stride[1], window.dilation[1])
    if (height, width) == (source.height, source.width) and window == Window(window.kernel):
        column = Window((height * width, 1))
    elif height == source.height == 1 and not top + bottom:
        column = Window((width, 1), (stride, 1), (left, 0, right, 0), (dilation, 1))
    else:
        return None
    needed = width * config.dim > bank or dilation > LARGEST_STEP
    if not needed or max(config.dim, min(column.extent(0), source.height * source.width)) > bank:
        return None
    return column, weight.reshape(*column.kernel, *weight.shape[2:])


def seen_kernel(window: Window, weight: Array, sizes: Sequence[int]) -> tuple[Window, Array]:
    """Window and weights without outer taps that see nothing but padding of maps of such sizes."""
    outputs = window.output(*sizes[:2])
    rows, columns = (_seen_taps(window, axis, sizes[axis], outputs[axis]) for axis in range(2))
    (first, end, top, bottom), (low, high, left, right) = rows, columns
    kernel, (dy, dx) = (end - first, high - low), window.dilation
    dilation = dy if kernel[0] > 1 else 1, dx if kernel[1] > 1 else 1
    padding = top, left, bottom, right
    made = replace(window, kernel=kernel, padding=padding, dilation=dilation)
    return made, weight[first:end, low:high]


def _seen_taps(window: Window, axis: int, size: int, outputs: int) -> tuple[int, int, int, int]:
    """First row (axis 0) or column that sees more than padding, end, and padding beside them."""
    first, end, step = 0, window.kernel[axis], window.dilation[axis]
    before, behind = window.padding[axis], window.padding[axis + 2]
    reach = (outputs - 1) * window.stride[axis]
    while end - first > 1 and before >= step and reach - before < 0:
        first, before = first + 1, before - step
    while end - first > 1 and behind >= step and (end - 1 - first) * step - before >= size:
        end, behind = end - 1, behind - step
    return first, end, before, behind
