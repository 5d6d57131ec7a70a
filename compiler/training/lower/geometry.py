"""How a convolution lies on the machine: tiles of its weights, and loops over pixels and taps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pulsarray.compiler.ir.window import Window
from pulsarray.compiler.lower.windows import Taps
from pulsarray.compiler.machine.views import balanced, ranges
from pulsarray.compiler.ops.images import padded, taps
from pulsarray.compiler.passes.training.maps import INPUT, is_layer
from pulsarray.compiler.training.layers import MapShape, Step, is_vector
from pulsarray.compiler.training.lower.pieces import cut

__all__ = ["Geometry", "geometries"]

Ints = npt.NDArray[np.int64]

_GAIN = 2
"""Windows are packed by the host if that makes tiles at least so many times fewer."""


@dataclass(frozen=True)
class Geometry:
    """A convolution on the machine.

    Parameters
    ----------
    window, given, result
        As the machine computes it: of a packed layer a product without a kernel.
    dim
        D.
    packed
        The real window and shape of the source if the host gathers it; the machine then reads
        all that an output sees as channels.
    groups
        Groups of channels.
    """

    window: Window
    given: MapShape
    result: MapShape
    dim: int
    packed: tuple[Window, MapShape] | None = None
    groups: int = 1

    @property
    def blocks(self) -> int:
        """Channel blocks of the source."""
        return -(-self.given[2] // self.dim)

    @property
    def taps(self) -> int:
        """Elements of the kernel."""
        return self.window.kernel[0] * self.window.kernel[1]

    @property
    def tiles(self) -> int:
        """Tiles of a column block of weights."""
        return self.taps * self.blocks

    @property
    def rows(self) -> int:
        """Rows of the weights in memory: of each tap's channels whole blocks, or one tap's."""
        return self.given[2] if self.taps == 1 else self.tiles * self.dim

    @property
    def linear(self) -> bool:
        """Whether every output pixel reads the one source pixel of its own place."""
        window = self.window
        return self.taps == 1 and window.stride == (1, 1) and not any(window.padding)

    @property
    def dense(self) -> bool:
        """Whether it is a product with vectors."""
        return is_vector(self.given) and self.linear

    @property
    def whole(self) -> bool:
        """Whether there is one output pixel and it sees every source pixel once."""
        same = self.window.kernel == self.given[:2] and self.window.dilation == (1, 1)
        return same and self.result[:2] == (1, 1) and not any(self.window.padding)

    def places(self, shape: tuple[int, int]) -> tuple[Ints, Ints]:
        """Row and column in memory of every weight of a (K, N) array."""
        depth, count = self.given[2] // self.groups, shape[1] // self.groups
        k, n = np.indices(shape)
        tap, channel = k // depth, k % depth + n // count * depth
        stride = self.blocks * self.dim if self.taps > 1 else 0
        return tap * stride + channel, n

    def parts(self, most: int, cuts: Sequence[int]) -> list[tuple[int, int]]:
        """Ranges of at most ``most`` tiles: whole kernel rows, taps of one, or blocks of a tap."""
        width = self.window.kernel[1]
        if self.taps == 1:
            return list(cut(self.blocks, most, cuts))
        if width * self.blocks <= most:
            return _even(0, self.tiles, width * self.blocks, most)
        if self.blocks <= most:
            step = width * self.blocks
            rows = range(0, self.tiles, step)
            return [p for row in rows for p in _even(row, row + step, self.blocks, most)]
        rows = range(0, self.tiles, self.blocks)
        return [p for row in rows for p in _even(row, row + self.blocks, 1, most)]

    def of(self, part: tuple[int, int]) -> Taps:
        """What a range of tiles is."""
        width = self.window.kernel[1]
        tap, block = divmod(part[0], self.blocks)
        last, end = divmod(part[1] - 1, self.blocks)
        if tap == last:
            row, column = divmod(tap, width)
            return Taps((row, row + 1), (column, column + 1), (block, end + 1))
        first, second = divmod(tap, width), divmod(last, width)
        return Taps((first[0], second[0] + 1), (first[1], second[1] + 1), (0, self.blocks))

    def pack(self, images: Ints) -> Ints:
        """Samples (images, elements) as the matrix that the machine reads."""
        if self.packed is None:
            return images.reshape(-1, self.given[2])
        window, channels = self.packed
        around = padded(images.reshape(-1, *channels), window.padding)
        places = taps(window, *window.output(*channels[:2]))
        return np.stack([around[place] for *_, place in places], axis=3).reshape(-1, self.given[2])


def _even(low: int, high: int, step: int, most: int) -> list[tuple[int, int]]:
    """A range in pieces of whole steps of at most ``most``, as even as they can be."""
    return ranges((low, high), step * balanced((high - low) // step, most // step))


def geometry(layer: Step, dim: int, *, first: bool) -> Geometry:
    """A layer on the machine; the ``first`` one's windows may be packed by the host."""
    plain = Geometry(layer.window, layer.given, layer.result, dim, groups=layer.groups)
    depth = layer.weight.shape[0]
    if not first or layer.groups > 1 or plain.tiles < _GAIN * -(-depth // dim):
        return plain
    if layer.result[:2] == (1, 1):
        return plain
    sizes = (*layer.result[:2], depth)
    return Geometry(Window((1, 1)), sizes, layer.result, dim, packed=(layer.window, layer.given))


def geometries(steps: Sequence[Step], layers: Sequence[Step], dim: int) -> dict[str, Geometry]:
    """Every product with weights of a network on the machine."""
    alone = sum(step.sources.count(INPUT) for step in steps) == 1
    return {
        layer.name: geometry(layer, dim, first=alone and layer.source == INPUT)
        for layer in layers
        if is_layer(layer.op)
    }
