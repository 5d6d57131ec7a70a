"""A convolution in the machine's units, the banks that it may use, and one way to cut it."""

from __future__ import annotations

from dataclasses import dataclass

from pulsarray.compiler.ir.window import Window

__all__ = ["ConvolutionShape", "Cut", "Room", "source_words"]


@dataclass(frozen=True)
class ConvolutionShape:
    """A convolution in the machine's units.

    Parameters
    ----------
    images, height, width
        The input map.
    out_height, out_width, out_blocks
        The result.
    depth
        Channel blocks of the input that one block of the result sees.
    window
        Kernel, stride, padding, dilation.
    shares_depth
        Whether all blocks of the result see the same blocks of the input.
    loads_source, stores_result
        Whether input and result are in memory.
    loads_second
        Whether a second operand of the result's shape comes from memory.
    vector_words
        Words that the vector unit issues for one word of the result.
    """

    images: int
    height: int
    width: int
    out_height: int
    out_width: int
    out_blocks: int
    depth: int
    window: Window
    shares_depth: bool
    loads_source: bool
    stores_result: bool
    loads_second: bool = False
    vector_words: int = 1


@dataclass(frozen=True)
class Room:
    """Banks for source, weights, second operands and results of one layer."""

    source: int
    weight: int
    second: int
    result: int


@dataclass(frozen=True)
class Cut:
    """One way to cut a convolution.

    Parameters
    ----------
    images, rows, columns
        Pixels of an output tile: several images whole, or part of one.
    blocks
        Channel blocks of the result in a tile.
    depth, taps
        Channel blocks of the input, and kernel rows, of one step.
    pixels_outer
        Whether the loop over pixels is outside the loop over channel blocks of the result.
    """

    images: int
    rows: int
    columns: int
    blocks: int
    depth: int
    taps: int
    pixels_outer: bool

    @property
    def pixels(self) -> int:
        """Words of a channel block."""
        return self.images * self.rows * self.columns


def source_words(shape: ConvolutionShape, images: int, rows: int, columns: int) -> int:
    """Words of one channel block that a tile inside the map looks at."""
    window = shape.window
    high, wide = min(shape.height, window.span(0, rows)), min(shape.width, window.span(1, columns))
    return images * high * wide
