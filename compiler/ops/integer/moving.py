"""Codes at other places: channels as pixels, pixels as channels, rows as columns, repeated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pulsarray.compiler.ir.formats import Format
from pulsarray.compiler.ir.operator import Operator
from pulsarray.compiler.ir.value import Array, Shape
from pulsarray.errors import InputError

__all__ = ["Join", "Repeat", "Split", "Swap"]


@dataclass(frozen=True)
class Split(
    Operator, title="int8_split", summary="parts of each pixel's channels as pixels", reads=("x",)
):
    """(H, W, C) as (H, W * parts, C / parts): a pixel's parts follow each other.

    With ``rows`` of one row (1, W, C) as (parts, W, C / parts): each part is a row.
    """

    parts: int
    rows: bool = False

    def shape(self, *shapes: Shape) -> Shape:
        """Shape of the result.

        Raises
        ------
        InputError
            If channels cannot be split so, or there are several rows.
        """
        height, width, channels = shapes[0]
        if self.parts < 1 or channels % self.parts or (self.rows and height > 1):
            raise InputError(f"a map of {shapes[0]} has no {self.parts} parts of its channels")
        part = channels // self.parts
        return (self.parts, width, part) if self.rows else (height, width * self.parts, part)

    def integer(self, arrays: Sequence[Array], formats: Sequence[Format], result: Format) -> Array:
        """The same codes."""
        samples, *shape = arrays[0].shape
        made = (samples, *self.shape((shape[0], shape[1], shape[2])))
        if not self.rows:
            return arrays[0].reshape(made)
        parts = arrays[0].reshape(samples, shape[1], self.parts, made[3])
        return parts.transpose(0, 2, 1, 3)


@dataclass(frozen=True)
class Join(
    Operator, title="int8_join", summary="pixels beside each other as one's channels", reads=("x",)
):
    """(H, W, C) as (H, W / parts, C * parts): what :class:`Split` makes is put together again."""

    parts: int
    rows: bool = False

    def shape(self, *shapes: Shape) -> Shape:
        """Shape of the result.

        Raises
        ------
        InputError
            If pixels cannot be joined so.
        """
        height, width, channels = shapes[0]
        fits = height == self.parts if self.rows else self.parts > 0 == width % self.parts
        if not fits:
            raise InputError(f"a map of {shapes[0]} does not consist of {self.parts} parts")
        joined = channels * self.parts
        return (1, width, joined) if self.rows else (height, width // self.parts, joined)

    def integer(self, arrays: Sequence[Array], formats: Sequence[Format], result: Format) -> Array:
        """The same codes."""
        samples, *shape = arrays[0].shape
        made = (samples, *self.shape((shape[0], shape[1], shape[2])))
        codes = arrays[0].transpose(0, 2, 1, 3) if self.rows else arrays[0]
        return codes.reshape(made)


@dataclass(frozen=True)
class Repeat(
    Operator, title="int8_repeat", summary="a pixel's channels again and again", reads=("x",)
):
    """(H, W, C) as (H, W, channels): channel n is channel n mod C."""

    channels: int

    def shape(self, *shapes: Shape) -> Shape:
        """(H, W, channels)."""
        return (*shapes[0][:2], self.channels)

    def integer(self, arrays: Sequence[Array], formats: Sequence[Format], result: Format) -> Array:
        """The same codes."""
        return arrays[0][..., np.arange(self.channels) % arrays[0].shape[3]]


class Swap(Operator, title="int8_swap", summary="rows as columns", reads=("x",)):
    """(H, W, C) as (W, H, C)."""

    def shape(self, *shapes: Shape) -> Shape:
        """(W, H, C)."""
        height, width, channels = shapes[0]
        return width, height, channels

    def integer(self, arrays: Sequence[Array], formats: Sequence[Format], result: Format) -> Array:
        """The same codes."""
        return arrays[0].swapaxes(1, 2)
