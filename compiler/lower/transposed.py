"""A transposed convolution as one plain convolution for each phase of its result.

With stride s, output row ``s * q + r`` gets input row ``i`` through tap ``k`` where ``s * q + r ==
i * s - top + k * dilation``: only taps of one residue, and consecutive ones see rows that go
backwards. So every phase r is a convolution of stride 1 with part of the kernel in reverse (the
decomposition of Dumoulin and Visin 2016, section 4, without the zeros in between).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import gcd

import numpy as np
import numpy.typing as npt

from pulsarray.compiler.ir.window import Window

__all__ = ["Taps", "grouped", "taps_of_phase"]

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Taps:
    """What one phase sees along one axis.

    Parameters
    ----------
    taps
        Taps of the kernel in the order of the input's rows; -1 stands for one that is zero.
    padding
        Rows before the map that the first output sees; negative if it begins inside.
    dilation
        Rows from one tap to the next.
    """

    taps: Sequence[int]
    padding: int
    dilation: int


def taps_of_phase(window: Window, axis: int, phase: int) -> Taps:
    """The taps that make every ``stride``-th row (axis 0) or column (axis 1) from a phase on."""
    stride, dilation = window.stride[axis], window.dilation[axis]
    offset = phase + window.padding[axis]
    taps = [k for k in range(window.kernel[axis]) if (offset - k * dilation) % stride == 0]
    if not taps:
        return Taps([-1], 0, 1)
    taps.reverse()
    first = (offset - taps[0] * dilation) // stride
    return Taps(taps, -first, dilation // gcd(stride, dilation))


def grouped(weight: Ints, groups: int) -> Ints:
    """Weights (kh, kw, C, N / groups) as those of a convolution, (kh + 1, kw + 1, C / groups, N).

    The last row and column are zero: they are what index -1 of :class:`Taps` finds.
    """
    kh, kw, channels, count = weight.shape
    split = weight.reshape(kh, kw, groups, channels // groups, count)
    plain = split.transpose(0, 1, 3, 2, 4).reshape(kh, kw, channels // groups, groups * count)
    return np.pad(plain, ((0, 1), (0, 1), (0, 0), (0, 0)))
