"""Pooling of feature maps by the vector unit, and the way of the gradient back."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace

from pulsarray.compiler.lower.windows import sees, strided, taps_of
from pulsarray.compiler.machine.views import Area, View, Words
from pulsarray.compiler.numerics.mantissas import factor
from pulsarray.compiler.ops.pooling import MaxPool
from pulsarray.compiler.training.layers import Step
from pulsarray.compiler.training.lower.chip import NoRoom, TrainChip
from pulsarray.compiler.training.lower.maps import FeatureMap, common, tiles, written
from pulsarray.compiler.training.lower.memory import Cache
from pulsarray.isa import Alu, VectorFlag

__all__ = ["Averaging", "Pooling"]

_SCALAR = int(VectorFlag.B_SCALAR)
_LEAST = -(1 << 15)


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

    def total(self, source: FeatureMap, tile: Area, sums: Words) -> None:
        """The sums of a tile's windows."""
        self.cache.get(source.of(tile))
        view, to = source.view(tile), Words.of(View.of(sums.bank, sums.base, tile), tile)
        for number, tap in enumerate(taps_of(self.step.window)):
            self.chip.compute(
                tile.counts, strided(self.step.window, tap, tile, view), to if number else None,
                acc=to, alu=Alu.ADD if number else Alu.PASS,
            )  # fmt: skip

    def backward(self, error: FeatureMap, tile: Area, bank: int) -> None:
        """What a tile of the source gets of the error, at its exponent less the shift."""
        window, chip = self.step.window, self.chip
        covered = [n * k for n, k in zip(self.step.result, window.kernel, strict=False)]
        if covered != [*self.step.given[:2]]:
            whole = Words.at(bank)
            chip.compute(tile.pixels, whole, acc=whole, alu=Alu.MUL, flags=_SCALAR)
        self.cache.get(error.of(tile))
        here, outputs = View.of(bank, 0, tile), error.whole(tile)
        for tap in taps_of(window):
            if part := sees(window, tap, outputs, tile.rows, tile.columns):
                chip.compute(
                    part.counts, Words.of(error.view(tile), part),
                    acc=strided(window, tap, part, here),
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
        self.source, self.result, self.window = source, result, step.window
        self.apart = MaxPool(step.window).is_apart(step.given)
        self.taps = taps_of(step.window)

    def forward(self, images: tuple[int, int]) -> None:
        """The largest values of some images' windows."""
        for tile in self._tiles(images):
            z = self.cache.get(self.source.of(tile))
            self.cache.new(self.result.of(tile), 0, avoid=[z.bank], pinned=[z])
            self._maxima(tile)
        written(self.result, images)

    def _maxima(self, tile: Area) -> None:
        """Those of a tile: what all of it sees first and last, as far as there is such a tap."""
        here, target = View.of(self.chip.aux[0], 0, tile), Words.of(self.result.view(tile), tile)
        view, sums = self.source.view(tile), Words.of(here, tile)
        whole = [tap for tap in self.taps if self._sees(tap, tile) == tile]
        if not whole:
            # Padding is as small as nothing else.
            compute = self.chip.compute
            compute(tile.counts, sums, acc=sums, alu=Alu.MUL, flags=_SCALAR)
            compute(tile.counts, sums, acc=sums, alu=Alu.ADD, flags=_SCALAR, scalar=_LEAST)
        some = [tap for tap in self.taps if tap not in whole]
        for number, tap in enumerate(order := [*whole[:1], *some, *whole[1:]]):
            if part := self._sees(tap, tile):
                most, first = Words.of(here, part), bool(whole) and not number
                ends = number == len(order) - 1 and part == tile
                self.chip.compute(
                    part.counts, strided(self.window, tap, part, view), None if first else most,
                    alu=Alu.PASS if first else Alu.MAX,
                    target=target if ends else None, acc=None if ends else most,
                )  # fmt: skip
        if order[-1] not in whole:
            self.chip.compute(tile.counts, sums, target=target, low=_LEAST)

    def _sees(self, tap: tuple[int, int], outputs: Area) -> Area | None:
        """Those of some outputs that see the source by a tap."""
        height, width, _ = self.source.shape
        return sees(self.window, tap, outputs, (0, height), (0, width))

    def gradient(self, error: FeatureMap, tile: Area, bank: int) -> None:
        """Each error to the first of its window's largest values, added up: a source's tile."""
        window, whole = self.window, Words.at(bank)
        self.chip.compute(tile.pixels, whole, acc=whole, alu=Alu.MUL, flags=_SCALAR)
        before = tile.rows[0] + window.padding[0] - window.extent(0) + 1
        low = max(0, -(-before // window.stride[0]))
        high = (tile.rows[1] - 1 + window.padding[0]) // window.stride[0] + 1
        seen = self.result.whole(tile)
        seen = replace(seen, rows=(low, min(seen.rows[1], high)))
        if seen.rows[0] >= seen.rows[1]:
            return
        if seen.pixels > self.chip.depth:
            raise NoRoom(
                f"{self.step.name}: windows overlap so much that {seen.pixels} errors are needed "
                f"at a time, accumulator_depth = {self.chip.depth}; "
                "use a larger stride or a deeper accumulator"
            )
        z, p, e = (f.of(tile) for f in (self.source, self.result, error))
        self.cache.get(z)
        self.cache.get(p, avoid=[z.bank], pinned=[z])
        self.cache.part(p, z)
        self.cache.get(e, pinned=[z, p])
        here, there = (View.of(aux, 0, seen) for aux in self.chip.aux)
        left = Words.of(there, seen)
        self.chip.compute(seen.counts, Words.of(error.view(tile), seen), acc=left)
        routed = self.cache.segment(f"{self.step.name}.routed", seen.pixels)
        self.cache.new(routed, pinned=[z, p, e])
        views = here, there, View.of(routed.bank, routed.base(0), seen)
        for tap in self.taps:
            if part := self._sees(tap, seen):
                self._take(tap, part, tile, views)
                if first_part := sees(window, tap, part, tile.rows, tile.columns):
                    to = strided(window, tap, first_part, View.of(bank, 0, tile))
                    taken = Words.of(views[2], first_part)
                    self.chip.compute(first_part.counts, to, taken, acc=to, alu=Alu.ADD)
        self.cache.drop([routed])

    def _take(
        self, tap: tuple[int, int], part: Area, tile: Area, views: tuple[View, View, View]
    ) -> None:
        """What a tap takes of the errors that are left, where it saw the largest value."""
        mine, left, some = (Words.of(view, part) for view in views)
        a = strided(self.window, tap, part, self.source.view(tile))
        most = Words.of(self.result.view(tile), part)
        self.chip.compute(part.counts, a, most, acc=mine, alu=Alu.EQUAL)
        self.chip.compute(part.counts, left, mine, target=some, alu=Alu.GATE)
        self.chip.compute(part.counts, left, some, acc=left, alu=Alu.SUB)

    def backward(self, error: FeatureMap, images: tuple[int, int], busy: Collection[int]) -> None:
        """Each error to the first of its window's largest values, in the place of that value.

        The other values become 0: the source's map is now that of its error. Banks that are
        ``busy`` are left to the array as far as possible.
        """
        for tile in self._tiles(images):
            z, p = self.cache.get(self.source.of(tile)), self.result.of(tile)
            avoid = [z.bank, *busy]
            self.cache.get(p, avoid=avoid, pinned=[z])
            self.cache.part(p, z, busy)
            e = self.cache.get(error.of(tile), avoid=avoid, pinned=[z, p])
            self.cache.part(e, z, busy)
            self.cache.new(z, 0)
            self._route(tile, error)
            if tile.rows[1] == self.result.shape[0]:
                self._clear(tile)

    def _route(self, tile: Area, error: FeatureMap) -> None:
        most, left = (
            Words.of(feature_map.view(tile), tile) for feature_map in (self.result, error)
        )
        mine, rest = (Words.of(View.of(aux, 0, tile), tile) for aux in self.chip.aux)
        for tap in self.taps[:-1]:
            z = strided(self.window, tap, tile, self.source.view(tile))
            self.chip.compute(tile.counts, z, most, acc=mine, alu=Alu.EQUAL)
            self.chip.compute(tile.counts, left, mine, target=z, alu=Alu.GATE)
            self.chip.compute(tile.counts, left, z, acc=rest, alu=Alu.SUB)
            left = rest
        # What no other took is the last one's.
        z = strided(self.window, self.taps[-1], tile, self.source.view(tile))
        self.chip.compute(tile.counts, left, target=z)

    def _clear(self, tile: Area) -> None:
        """Zeros where windows do not cover the map: rows below them, columns beside them."""
        whole = self.source.whole(tile)
        (_, height), (_, width) = whole.rows, whole.columns
        rows, columns = (n * k for n, k in zip(self.result.shape, self.window.kernel, strict=False))
        below = replace(whole, rows=(rows, height))
        beside = replace(whole, rows=(0, rows), columns=(columns, width))
        for area in (below, beside):
            if area.words:
                words = Words.of(self.source.view(tile), area)
                self.chip.compute(area.counts, words, target=words, low=0, high=0)

    def _tiles(self, images: tuple[int, int]) -> Iterator[Area]:
        for low, high in common(self.source.groups(), self.result.groups()):
            part = max(low, images[0]), min(high, images[1])
            if part[0] >= part[1]:
                continue
            for block in range(self.result.cuts()[-1]):
                for tile in tiles(self.result, part, self.chip.depth):
                    yield replace(tile, blocks=(block, block + 1))
