"""Maps as columns, where a row of the kernel fits no bank: its steps are cut between rows alone."""

from __future__ import annotations

from dataclasses import replace

from pulsarray.compiler.ir.value import Array
from pulsarray.compiler.ir.window import Window
from pulsarray.compiler.lower.views import Stored

__all__ = ["as_column", "kernel_as_column"]


def as_column(stored: Stored) -> Stored:
    """A map with all of its pixels in one column, in the same words."""
    return replace(stored, height=stored.height * stored.width, width=1)


def kernel_as_column(source: Stored, window: Window, weight: Array) -> tuple[Window, Array] | None:
    """Window and weights that make of a map as a column what they made of it.

    None where that is not so: of a map with several rows the kernel must be all that is seen.
    """
    (height, width), (top, left, bottom, right) = window.kernel, window.padding
    turned = weight.reshape(height * width, 1, *weight.shape[2:])
    if (height, width) == (source.height, source.width) and window == Window(window.kernel):
        return Window((height * width, 1)), turned
    if height == source.height == 1 and not top + bottom:
        stride, dilation = window.stride[1], window.dilation[1]
        return Window((width, 1), (stride, 1), (left, 0, right, 0), (dilation, 1)), turned
    return None
