"""Maps whose elements stay in their order while they get another shape, other channels too."""

from __future__ import annotations

from math import gcd

import numpy as np

from pulsarray.compiler.ir.draft import Draft
from pulsarray.compiler.ir.graph import Node
from pulsarray.compiler.ir.value import Shape
from pulsarray.compiler.ir.window import Window
from pulsarray.compiler.ops.convolution import Convolution
from pulsarray.compiler.ops.layout import Reshape
from pulsarray.compiler.ops.transposed import TransposedConvolution
from pulsarray.errors import InputError

__all__ = ["check_channels", "regrouped"]

_LARGEST_IDENTITY = 1 << 13
"""Channels of a pixel at most that are split or joined: by a product with the identity."""

Where = tuple[str, str]
"""Name and title of the operator that asks for it."""


def regrouped(draft: Draft, where: Where, source: str, wanted: Shape, output: str) -> str:
    """The map of that shape, which is the output or what a product made of it already.

    Raises
    ------
    InputError
        If pixels have too many channels to be split or joined.
    """
    channels = draft.shape(source)[2]
    common = gcd(channels, wanted[2])
    made = _split(draft, where, source, channels // common, output)
    made = _joined(draft, where, made, wanted[2] // common, output)
    if draft.shape(made) == wanted and made != source:
        return made
    return draft.emit(Node(where[0], Reshape(wanted), (made,), output)).name


def check_channels(where: Where, channels: int) -> None:
    """Refuse a product with an enormous identity."""
    if channels > _LARGEST_IDENTITY:
        raise InputError(
            f"{where[0]}: {where[1]} to or from pixels of {channels} channels is not "
            f"possible in int8, only of up to {_LARGEST_IDENTITY}"
        )


def _split(draft: Draft, where: Where, source: str, parts: int, output: str) -> str:
    """Each pixel's channels as so many pixels beside each other."""
    if parts == 1:
        return source
    channels = draft.shape(source)[2]
    check_channels(where, channels)
    weight = np.eye(channels).reshape(channels, parts, -1).transpose(1, 0, 2)[None]
    op = TransposedConvolution(Window((1, parts), (1, parts)))
    learned = {"weight": weight, "bias": np.zeros(channels // parts)}
    output = draft.fresh(f"{output} split")
    return draft.add(output, op, (source,), output, learned).name


def _joined(draft: Draft, where: Where, source: str, parts: int, output: str) -> str:
    """So many pixels beside each other as the channels of one."""
    if parts == 1:
        return source
    height, width, channels = draft.shape(source)
    check_channels(where, parts * channels)
    if width % parts:
        row = draft.fresh(f"{output} in a row")
        draft.emit(Node(row, Reshape((1, height * width, channels)), (source,), row))
        source = row
    weight = np.eye(parts * channels).reshape(1, parts, channels, -1)
    op = Convolution(Window((1, parts), (1, parts)))
    learned = {"weight": weight, "bias": np.zeros(parts * channels)}
    output = draft.fresh(f"{output} joined")
    return draft.add(output, op, (source,), output, learned).name
