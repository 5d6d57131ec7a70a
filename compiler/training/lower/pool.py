"""Pooling of feature maps by the vector unit, and the way of the gradient back."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from pulsarray.compiler.machine.views import Words
from pulsarray.compiler.numerics.mantissas import factor
from pulsarray.compiler.ops.pooling import MaxPool
from pulsarray.compiler.training.layers import Step
from pulsarray.compiler.training.lower.chip import NoRoom, TrainChip
from pulsarray.compiler.training.lower.maps import FeatureMap, Tile, common, tiles, written
from pulsarray.compiler.training.lower.memory import Cache
from pulsarray.isa import Alu, VectorFlag

__all__ = ["Averaging", "Pooling"]

_SCALAR = int(VectorFlag.B_SCALAR)
_LEAST = -(1 << 15)


@dataclass(frozen=True)
class _Part:
    """Some outputs, and where an element of the kernel sees for the first output of all."""

    rows: tuple[int, int]
    columns: tuple[int, int]
    top: int
    left: int

    def counts(self, tile: Tile) -> tuple[int, int, int]:
        """Images, rows and columns."""
        rows, columns = self.rows, self.columns
        return tile.images, rows[1] - rows[0], columns[1] - columns[0]


def _inside(first: int, step: int, size: int, low: int, high: int) -> tuple[int, int]:
    """Which of ``low .. high-1`` have ``first + step * index`` in ``0 .. size-1``."""
    begin = max(low, -(first // step) if first < 0 else 0)
    end = min(high, (size - 1 - first) // step + 1)
    return begin, max(begin, end)


class Averaging:
    """Emits one average pooling.

    Parameters
    ----------
    step
        What is pooled.
    chip, cache
        The machine, and its maps.
    """

    def __init__(self, step: Step, chip: TrainChip, cache: Cache) -> None:
        self.step, self.chip, self.cache = step, chip, cache
        self.mantissa, exponent = factor(step.share, step.name)
        self.shift = -exponent
        kernel = step.window.kernel
        self.taps = [(y, x) for y in range(kernel[0]) for x in range(kernel[1])]

    def total(self, source: FeatureMap, tile: Tile, block: int, sums: Words) -> None:
        """The sums of a tile's windows."""
        kernel, here = self.step.window.kernel, self.cache.get(source.at(tile.low, block))
        steps = (source.pixels, kernel[0] * source.shape[1], kernel[1])
        to = Words(sums.bank, sums.base, (tile.rows * tile.across, tile.across, 1))
        for number, (y, x) in enumerate(self.taps):
            base = source.word(tile.low, block, tile.top * kernel[0] + y) + x
            self.chip.compute(
                tile.counts, Words(here.bank, base, steps), to if number else None, acc=to,
                alu=Alu.ADD if number else Alu.PASS,
            )  # fmt: skip

    def backward(self, error: FeatureMap, tile: Tile, block: int, bank: int) -> None:
        """What a tile of the source gets of the error, at its exponent less the shift."""
        (height, width, _), kernel = self.step.given, self.step.window.kernel
        rows, columns, _ = self.step.result
        chip = self.chip
        pixels = tile.rows * width
        if (rows * kernel[0], columns * kernel[1]) != (height, width):
            whole = Words.at(bank)
            chip.compute(tile.images * pixels, whole, acc=whole, alu=Alu.MUL, flags=_SCALAR)
        segment = self.cache.get(error.at(tile.low, block))
        for y, x in self.taps:
            low = max(0, -(-(tile.top - y) // kernel[0]))
            high = min(rows, (tile.bottom - 1 - y) // kernel[0] + 1)
            if low >= high:
                continue
            base = (low * kernel[0] + y - tile.top) * width + x
            chip.compute(
                (tile.images, high - low, columns),
                Words(segment.bank, error.word(tile.low, block, low), (rows * columns, columns, 1)),
                acc=Words(bank, base, (pixels, kernel[0] * width, kernel[1])),
                alu=Alu.MUL, flags=_SCALAR, scalar=self.mantissa,
            )  # fmt: skip


class Pooling:
    """Emits one pooling.

    Parameters
    ----------
    step
        What is pooled.
    chip, cache
        The machine, and its maps.
    source, result
        The maps.
    """

    def __init__(
        self,
        step: Step,
        chip: TrainChip,
        cache: Cache,
        source: FeatureMap,
        result: FeatureMap,
    ) -> None:
        self.step, self.chip, self.cache = step, chip, cache
        self.source, self.result = source, result
        self.apart = MaxPool(step.window).is_apart(step.given)
        kernel = step.window.kernel
        self.taps = [(y, x) for y in range(kernel[0]) for x in range(kernel[1])]

    def forward(self, images: tuple[int, int]) -> None:
        """The largest values of some images' windows."""
        if not self.apart:
            self._overlapping(images)
            return
        for tile, block in self._tiles(images):
            z = self.cache.get(self.source.at(tile.low, block))
            self.cache.new(self.result.at(tile.low, block), 0, avoid=[z.bank], pinned=[z])
            counts, target = self._counts(tile), self._pooled(self.result, tile, block)
            most = self._aux(0, tile)
            for number, tap in enumerate(self.taps):
                a, last = self._seen(self.source, tile, block, tap), number == len(self.taps) - 1
                self.chip.compute(
                    counts, a, most if number else None,
                    alu=Alu.MAX if number else Alu.PASS,
                    target=target if last else None, acc=None if last else most,
                )  # fmt: skip
        written(self.result, images)

    def _overlapping(self, images: tuple[int, int]) -> None:
        """The same where windows overlap, or see padding, which is as small as nothing else."""
        sums = self.chip.aux[0]
        columns = self.result.shape[1]
        for tile, block in self._tiles(images):
            z = self.cache.get(self.source.at(tile.low, block))
            self.cache.new(self.result.at(tile.low, block), 0, pinned=[z])
            count = tile.images * tile.rows * columns
            words = Words.at(sums)
            self.chip.compute(count, words, acc=words, alu=Alu.MUL, flags=_SCALAR)
            self.chip.compute(count, words, acc=words, alu=Alu.ADD, flags=_SCALAR, scalar=_LEAST)
            for part in self._parts(tile):
                most = self._pooled_part(sums, 0, tile.top, tile.rows, part)
                seen = self._seen_part(tile.low, block, part)
                self.chip.compute(part.counts(tile), seen, most, acc=most, alu=Alu.MAX)
            target = self._pooled(self.result, tile, block)
            whole = Words.at(target.bank, target.base)
            self.chip.compute(count, words, target=whole, low=_LEAST)
        written(self.result, images)

    def _parts(self, tile: Tile) -> Iterator[_Part]:
        """For each element of the kernel those outputs of a tile that see the source by it."""
        window, (height, width, _) = self.step.window, self.source.shape
        for y, x in self.taps:
            top, left = y * window.dilation[0] - window.padding[0], x * window.dilation[1]
            left -= window.padding[1]
            rows = _inside(top, window.stride[0], height, tile.top, tile.bottom)
            columns = _inside(left, window.stride[1], width, 0, self.result.shape[1])
            if rows[0] < rows[1] and columns[0] < columns[1]:
                yield _Part(rows, columns, top, left)

    def _pooled_part(self, bank: int, base: int, top: int, rows: int, part: _Part) -> Words:
        """Those outputs where ``rows`` rows from ``top`` on lie in a bank."""
        columns = self.result.shape[1]
        first = base + (part.rows[0] - top) * columns + part.columns[0]
        return Words(bank, first, (rows * columns, columns, 1))

    def _seen_part(self, image: int, block: int, part: _Part) -> Words:
        """What those outputs see."""
        down, right = self.step.window.stride
        width = self.source.shape[1]
        row, column = part.rows[0] * down + part.top, part.columns[0] * right + part.left
        base = self.source.word(image, block, row) + column
        bank = self.source.at(image, block).bank
        return Words(bank, base, (self.source.pixels, down * width, right))

    def gradient(self, error: FeatureMap, tile: Tile, block: int, bank: int) -> None:
        """Each error to the first of its window's largest values, added up: a source's tile."""
        window = self.step.window
        height, columns = self.result.shape[:2]
        width, extent = self.source.shape[1], (window.kernel[0] - 1) * window.dilation[0]
        low = max(0, -(-(tile.top + window.padding[0] - extent) // window.stride[0]))
        high = min(height, (tile.bottom - 1 + window.padding[0]) // window.stride[0] + 1)
        whole = Words.at(bank)
        self.chip.compute(
            tile.images * tile.rows * width, whole,
            acc=whole, alu=Alu.MUL, flags=_SCALAR,
        )  # fmt: skip
        if low >= high:
            return
        seen = Tile(tile.low, tile.high, low, high, columns)
        words = seen.images * seen.rows * columns
        if words > self.chip.depth:
            raise NoRoom(
                f"{self.step.name}: windows overlap so much that {words} errors are needed at a "
                f"time, accumulator_depth = {self.chip.depth}; "
                "use a larger stride or a deeper accumulator"
            )
        z, p, e = (f.at(tile.low, block) for f in (self.source, self.result, error))
        self.cache.get(z)
        self.cache.get(p, avoid=[z.bank], pinned=[z])
        self.cache.part(p, z)
        self.cache.get(e, pinned=[z, p])
        here, there = self.chip.aux
        copied = Words(there, 0, (seen.rows * columns, columns, 1))
        counts = seen.images, seen.rows, columns
        self.chip.compute(counts, self._pooled(error, seen, block), acc=copied)
        found = self.cache.segment(f"{self.step.name}.routed", words)
        self.cache.new(found, pinned=[z, p, e])
        for part in self._parts(seen):
            counts = part.counts(seen)
            mine = self._pooled_part(here, 0, low, seen.rows, part)
            left = self._pooled_part(there, 0, low, seen.rows, part)
            some = self._pooled_part(found.bank, found.base(0), low, seen.rows, part)
            first = self.result.word(tile.low, block)
            most = self._pooled_part(p.bank, first, 0, height, part)
            a = self._seen_part(tile.low, block, part)
            self.chip.compute(counts, a, most, acc=mine, alu=Alu.EQUAL)
            self.chip.compute(counts, left, mine, target=some, alu=Alu.GATE)
            self.chip.compute(counts, left, some, acc=left, alu=Alu.SUB)
            rows = _inside(part.top - tile.top, window.stride[0], tile.rows, *part.rows)
            if rows[0] >= rows[1]:
                continue
            own = _Part(rows, part.columns, part.top, part.left)
            some = self._pooled_part(found.bank, found.base(0), low, seen.rows, own)
            row = rows[0] * window.stride[0] + part.top - tile.top
            base = row * width + part.columns[0] * window.stride[1] + part.left
            steps = (tile.rows * width, window.stride[0] * width, window.stride[1])
            to = Words(bank, base, steps)
            self.chip.compute(own.counts(seen), to, some, acc=to, alu=Alu.ADD)
        self.cache.drop([found])

    def backward(self, error: FeatureMap, images: tuple[int, int], busy: Collection[int]) -> None:
        """Each error to the first of its window's largest values, in the place of that value.

        The other values become 0: the source's map is now that of its error. Banks that are
        ``busy`` are left to the array as far as possible.
        """
        for tile, block in self._tiles(images):
            z = self.cache.get(self.source.at(tile.low, block))
            p = self.result.at(tile.low, block)
            avoid = [z.bank, *busy]
            self.cache.get(p, avoid=avoid, pinned=[z])
            self.cache.part(p, z, busy)
            e = self.cache.get(error.at(tile.low, block), avoid=avoid, pinned=[z, p])
            self.cache.part(e, z, busy)
            self.cache.new(z, 0)
            self._route(tile, block, error)
            if tile.bottom == self.result.shape[0]:
                self._clear(tile, block)

    def _route(self, tile: Tile, block: int, error: FeatureMap) -> None:
        counts = self._counts(tile)
        most, mine = self._pooled(self.result, tile, block), self._aux(0, tile)
        left, rest = self._pooled(error, tile, block), self._aux(1, tile)
        for number, tap in enumerate(self.taps):
            z = self._seen(self.source, tile, block, tap)
            if number == len(self.taps) - 1:
                # What no other took is the last one's.
                self.chip.compute(counts, left, target=z)
                return
            self.chip.compute(counts, z, most, acc=mine, alu=Alu.EQUAL)
            self.chip.compute(counts, left, mine, target=z, alu=Alu.GATE)
            self.chip.compute(counts, left, z, acc=rest, alu=Alu.SUB)
            left = rest

    def _clear(self, tile: Tile, block: int) -> None:
        """Zeros where windows do not cover the map: rows below them, columns beside them."""
        (height, width, _), (rows, columns, _) = self.source.shape, self.result.shape
        kernel = self.step.window.kernel
        covered = rows * kernel[0], columns * kernel[1]
        bank = self.source.at(tile.low, block).bank
        pixels = self.source.pixels
        for top, left, tall, wide in (
            (covered[0], 0, height - covered[0], width),
            (0, covered[1], covered[0], width - covered[1]),
        ):
            if not tall or not wide:
                continue
            base = self.source.word(tile.low, block, top) + left
            words = Words(bank, base, (pixels, width, 1))
            counts = tile.images, tall, wide
            self.chip.compute(counts, words, target=words, low=0, high=0)

    def _tiles(self, images: tuple[int, int]) -> Iterator[tuple[Tile, int]]:
        depth = self.chip.depth
        for low, high in common(self.source.groups(), self.result.groups()):
            part = max(low, images[0]), min(high, images[1])
            if part[0] >= part[1]:
                continue
            for block in range(self.result.cuts()[-1]):
                for tile in tiles(self.result, part, depth):
                    yield tile, block

    def _counts(self, tile: Tile) -> tuple[int, int, int]:
        return tile.images, tile.rows, self.result.shape[1]

    def _pooled(self, found: FeatureMap, tile: Tile, block: int) -> Words:
        """A tile of a map of the result's shape."""
        bank = found.at(tile.low, block).bank
        steps = (found.pixels, found.shape[1], 1)
        return Words(bank, found.word(tile.low, block, tile.top), steps)

    def _seen(self, found: FeatureMap, tile: Tile, block: int, tap: tuple[int, int]) -> Words:
        """What one element of all windows sees of a map of the source's shape."""
        down, right = self.step.window.kernel
        width = found.shape[1]
        base = found.word(tile.low, block, tile.top * down) + tap[0] * width + tap[1]
        return Words(found.at(tile.low, block).bank, base, (found.pixels, down * width, right))

    def _aux(self, number: int, tile: Tile) -> Words:
        columns = self.result.shape[1]
        return Words(self.chip.aux[number], 0, (tile.rows * columns, columns, 1))
