"""Maps as columns, where a row of the kernel fits no bank: its steps are cut between rows alone."""

from __future__ import annotations

from dataclasses import replace

from pulsarray.compiler.ir.value import Array
from pulsarray.compiler.ir.window import Window
from pulsarray.compiler.machine.views import Stored
from pulsarray.config import Config

__all__ = ["as_column", "kernel_as_column"]


def as_column(stored: Stored) -> Stored:
    """A map with all of its pixels in one column, in the same words."""
    return replace(stored, height=stored.height * stored.width, width=1)


def kernel_as_column(
    source: Stored, window: Window, weight: Array, config: Config
) -> tuple[Window, Array] | None:
    """Window and weights that make of a map as a column what they made of it.

    None where nothing is won: weights of a row fit a bank, or not even one tile and what a pixel
    sees; or where it cannot be: of a map with several rows the kernel must be all that is seen.
    """
    (height, width), (top, left, bottom, right) = window.kernel, window.padding
    bank, (stride, dilation) = config.scratchpad_depth, (window.stride[1], window.dilation[1])
    if (height, width) == (source.height, source.width) and window == Window(window.kernel):
        column = Window((height * width, 1))
    elif height == source.height == 1 and not top + bottom:
        column = Window((width, 1), (stride, 1), (left, 0, right, 0), (dilation, 1))
    else:
        return None
    if width * config.dim <= bank or max(config.dim, column.extent(0)) > bank:
        return None
    return column, weight.reshape(*column.kernel, *weight.shape[2:])
