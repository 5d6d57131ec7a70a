"""The products for the gradients of weights and biases: dW = X^T dY and sums of dY."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pulsarray.compiler.lower.windows import Taps
from pulsarray.compiler.machine.array import Limits, Onto
from pulsarray.compiler.machine.loops import Loop
from pulsarray.compiler.training.lower.geometry import Geometry
from pulsarray.compiler.training.lower.maps import FeatureMap, Segment, common
from pulsarray.compiler.training.lower.pieces import cut_within
from pulsarray.compiler.training.lower.products.stream import Streams
from pulsarray.isa import StreamFlag

__all__ = ["WeightGradient"]

_TURN = int(StreamFlag.TRANSPOSE)


@dataclass(frozen=True)
class _Walk:
    """How groups of D output pixels are gone through, a pass each.

    Parameters
    ----------
    groups, pixels
        Loops over groups, and over the pixels of one.
    weight
        Fields of WEIGHT, which holds the errors of a group.
    limit
        Pixels of an error that there are in a run of groups.
    limits
        The window on the source that cuts off what is no pixel; None if all are.
    dilation
        Steps of the window from tap to tap.
    """

    groups: list[Loop]
    pixels: list[Loop]
    weight: dict[str, int]
    limit: int
    limits: Limits | None
    dilation: tuple[int, int] = (0, 0)

    def still(self, dim: int) -> dict[str, int]:
        """Fields of WEIGHT; the end of a run is cut off."""
        fields = dict(self.weight)
        if fields["count0"] * dim <= self.limit and self.limit % dim == 0:
            fields.pop("row_step0")
            return fields
        return fields | {"row_limit": self.limit}


class WeightGradient(Streams):
    """Emits sums over all pixels; what happens to them is for others to say."""

    def emit(
        self,
        geometry: Geometry,
        x: FeatureMap,
        delta: FeatureMap,
        place: tuple[int, tuple[int, int]],
        bank: int,
        *,
        add: bool,
        passing: bool = False,
        before: Callable[[int], None] | None = None,
    ) -> None:
        """Sums of a piece of weights: D rows a tile, one tile after the other.

        Parameters
        ----------
        geometry, x, delta
            The layer, its source and its error.
        place
            A column block, and a range of tiles.
        bank, add
            Where to, and whether to what is there.
        passing
            Memory has x, and its place is free again as soon as it was read.
        before
            Is called with the images that are about to be needed, and some more: the vector unit
            may still be making their errors while the array works for those before.
        """
        column, part = place
        for low, high in common(x.groups(), delta.groups()):
            if before is not None:
                before(high + 1)
            if passing:
                self.rows.drop(done for done in x.segments if done.high <= low)
            for some in _parts(geometry, x, geometry.of(part), low):
                still = self.rows.get(delta.at(low, column))
                segment = x.at(low, some.blocks[0])
                self.rows.get(segment, avoid=[still.bank], pinned=[still])
                self.rows.part(segment, still)
                for number, images in enumerate(_groups(geometry, low, high)):
                    adds = add or number > 0
                    self._turned(geometry, x, delta, place, some, images, bank, add=adds)
            add = True

    def _turned(
        self,
        geometry: Geometry,
        x: FeatureMap,
        delta: FeatureMap,
        place: tuple[int, tuple[int, int]],
        taps: Taps,
        images: tuple[int, int],
        bank: int,
        *,
        add: bool,
    ) -> None:
        """Groups of D pixels of some images, one pass each."""
        dim, window, (column, part) = self.dim, geometry.window, place
        segment, still = x.at(images[0], taps.blocks[0]), delta.at(images[0], column)
        walk = _walk(geometry, taps, images, dim)
        kh, kw, blocks = taps.counts
        (dy, dx), (top, left, _, _) = window.dilation, window.padding
        row, width = taps.rows[0] * dy - top, geometry.given[1]
        tile = (taps.rows[0] * window.kernel[1] + taps.columns[0]) * geometry.blocks
        first = (tile + taps.blocks[0] - part[0]) * dim
        inner = [
            Loop(kh, dy * width, window.kernel[1] * geometry.blocks * dim, walk.dilation[0]),
            Loop(kw, dx, geometry.blocks * dim, 0, walk.dilation[1]),
            Loop(blocks, segment.rows, dim),
            *walk.pixels,
        ]
        self.still(still, (column, column + 1), delta.word(images[0], column), walk.still(dim))
        source = x.word(images[0], taps.blocks[0]) + row * width + taps.columns[0] * dx - left
        self.stream(
            self.read(segment, *taps.blocks), source, Onto(bank, 0, (part[1] - part[0]) * dim),
            walk.groups, inner, fresh=not add, target=first, limits=walk.limits, flags=_TURN,
        )  # fmt: skip

    def bias(
        self, ones: Segment, delta: FeatureMap, columns: tuple[int, int], bank: int, *, add: bool
    ) -> None:
        """Sums of the error over all pixels: D words a column block, of which the first counts."""
        dim = self.dim
        for low, high in delta.groups():
            total = (high - low) * delta.pixels
            for first, end in cut_within(columns, delta.cuts()):
                still = self.rows.get(delta.at(low, first))
                word = self.rows.get(ones, avoid=[still.bank], pinned=[still])
                self.rows.part(word, still)
                width, groups = end - first, -(-total // dim)
                weight = {"count0": width, "stride0": still.rows, "count1": groups, "stride1": dim}
                weight |= {"row_step1": dim, "row_limit": total} if total % dim else {}
                self.still(still, (first, end), delta.word(low, first), weight)
                target = (first - columns[0]) * dim
                # For each column block all groups of pixels; only the first group's sums are fresh.
                self.stream(
                    self.read(word, 0, 1), word.base(0), Onto(bank, target, target + width * dim),
                    [Loop(width, 0, dim), Loop(groups)], [Loop(dim, 0, 1)],
                    fresh=not add, flags=_TURN,
                )  # fmt: skip
            add = True


def _parts(geometry: Geometry, x: FeatureMap, taps: Taps, image: int) -> Iterator[Taps]:
    """Taps whose words lie in one segment and fit the loops."""
    low, high = taps.blocks
    several = taps.counts[0] * taps.counts[1] > 1 and not geometry.whole
    while low < high:
        end = low + 1 if several else min(high, x.at(image, low).end)
        yield taps.some(low, end)
        low = end


def _groups(geometry: Geometry, low: int, high: int) -> Iterator[tuple[int, int]]:
    """Images whose pixels are loops of one instruction."""
    if geometry.linear or geometry.whole:
        yield low, high
        return
    yield from ((image, image + 1) for image in range(low, high))


def _walk(geometry: Geometry, taps: Taps, images: tuple[int, int], dim: int) -> _Walk:
    if geometry.linear or geometry.whole:
        return _line(geometry, images, dim)
    (height, width, _), (rows, across, _) = geometry.given, geometry.result
    (dy, dx), (top, left, _, _) = geometry.window.dilation, geometry.window.padding
    down, right = geometry.window.stride
    limits = Limits(taps.rows[0] * dy - top, taps.columns[0] * dx - left, height, width)
    if dim % across:
        pieces = -(-across // dim)
        groups = [
            Loop(pieces, dim * right, 0, 0, dim * right),
            Loop(rows, down * width, 0, down),
        ]
        weight = {"count0": pieces, "stride0": dim, "row_step0": dim}
        weight |= {"count1": rows, "stride1": across}
        return _Walk(groups, [Loop(dim, right, 1, 0, right)], weight, across, limits, (dy, dx))
    together = dim // across
    count = -(-rows // together)
    groups = [Loop(count, together * down * width, 0, together * down)]
    pixels = [Loop(together, down * width, across, down), Loop(across, right, 1, 0, right)]
    weight = {"count0": count, "stride0": dim, "row_step0": dim}
    return _Walk(groups, pixels, weight, rows * across, limits, (dy, dx))


def _line(geometry: Geometry, images: tuple[int, int], dim: int) -> _Walk:
    """Pixels of all images, or images, in one line; its end is cut by the window."""
    height, width, _ = geometry.given
    pitch = 1 if geometry.linear else height * width
    total = (images[1] - images[0]) * (height * width if geometry.linear else 1)
    count, cut = -(-total // dim), total % dim > 0
    weight = {"count0": count, "stride0": dim, "row_step0": dim}
    limits = Limits(0, 0, total, 1) if cut else None
    groups, pixels = [Loop(count, dim * pitch, 0, dim * cut)], [Loop(dim, pitch, 1, int(cut))]
    return _Walk(groups, pixels, weight, total, limits)
