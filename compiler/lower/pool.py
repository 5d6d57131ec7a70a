"""Pooling: maxima in the vector unit, means on the array."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pulsarray.compiler.ir.window import Window
from pulsarray.compiler.lower.chip import MapChip, Words
from pulsarray.compiler.lower.constants import Sums
from pulsarray.compiler.lower.epilogue import Places
from pulsarray.compiler.lower.lowering import Lowering, lower
from pulsarray.compiler.lower.residency import Work
from pulsarray.compiler.lower.scaling import Finish, finish_of
from pulsarray.compiler.lower.tiles import source_area, tiles_of_map
from pulsarray.compiler.lower.traits import Traits, traits_of
from pulsarray.compiler.lower.windows import Taps, seen, sees, strided, taps_of
from pulsarray.compiler.machine.array import Onto
from pulsarray.compiler.machine.emitter import spans
from pulsarray.compiler.machine.layout import Layout
from pulsarray.compiler.machine.views import Area, Stored, View
from pulsarray.compiler.ops.integer.pool import AveragePool, MaxPool
from pulsarray.isa import Alu, VectorFlag
from pulsarray.program import Tensor

__all__ = ["Sources", "WindowSums"]

_NOTHING = (1, 0)
"""Scale of the sum of no elements."""


class Sources:
    """Tiles of an input, LOADed one after the other where it is in memory."""

    def __init__(self, chip: MapChip, layer: int, stored: Stored, areas: Sequence[Area]) -> None:
        self.chip, self.layer, self.stored = chip, layer, stored
        self._turn = -1
        if stored.tensor is not None:
            self._slots = chip.sources.carve(max(area.words for area in areas), min(len(areas), 8))

    def next(self, area: Area) -> View:
        """The next tile on chip."""
        if self.stored.tensor is None:
            return self.stored.view
        self._turn += 1
        slot = self._slots[self._turn % len(self._slots)]
        return self.chip.load_area(self.layer, self.stored, area, slot.bank, slot.base)


@traits_of.register
def _(_: MaxPool) -> Traits:
    return Traits(rereads=True)


@lower.register
def _(op: MaxPool, lowering: Lowering, work: Work) -> tuple[int, int, int]:
    result, number, name = lowering.stored(work.output), lowering.number, work.node.name
    source = lowering.stored(work.maps[0])
    lowering.later(lambda chip, _: _max_pool(chip, number, name, op, source, result))
    return 0, 0, 0


def _max_pool(
    chip: MapChip, layer: int, name: str, op: MaxPool, source: Stored, result: Stored
) -> None:
    """The largest code under each window: one VECTOR a tap."""
    config, window = chip.config, op.window
    bank = config.scratchpad_depth
    # Small tiles where the input stays on chip: what follows starts with the first of them.
    most = min(bank // 2, config.accumulator_depth)
    tiles = tiles_of_map(result, source, window, most, bank, name)
    places = Places(chip, layer, result, None, tiles)
    sources = Sources(chip, layer, source, [source_area(window, t, source) for t in tiles])
    for tile in tiles:
        view = sources.next(source_area(window, tile, source))
        places.next()
        lanes = result.lanes(tile, config.dim)
        for counts, operands, fields in _maxima(op, tile, source, view, places.result(tile)):
            chip.vector(layer, counts, operands, fields | lanes)
        places.store(tile)


_Vector = tuple[tuple[int, int, int, int], dict[str, Words], dict[str, int]]
"""Counts, operands and fields of a VECTOR."""


def _maxima(op: MaxPool, tile: Area, source: Stored, view: View, target: View) -> Iterator[_Vector]:
    """A VECTOR for each tap: the first one writes, the others take the larger code."""
    window, whole = op.window, ((0, source.height), (0, source.width))
    parts = [(tap, sees(window, tap, tile, *whole)) for tap in taps_of(window)]
    taps = sorted(((tap, part) for tap, part in parts if part), key=lambda tap: tap[1] != tile)
    written = not taps or taps[0][1] != tile
    if written:
        # What no tap sees is the least that a result may be.
        words = Words.of(target, tile)
        empty = {"a": _any_word(view, tile, source, window), "target": words}
        least = {"low": op.low, "high": op.low, "zero_target": op.low}
        yield tile.counts, empty, {"multiplier": 0} | least
    for tap, part in taps:
        into = Words.of(target, part)
        operands = {"a": strided(window, tap, part, view), "target": into}
        operands |= {"b": into} if written else {}
        alu = int(Alu.MAX if written else Alu.PASS)
        yield part.counts, operands, {"alu": alu, "low": op.low, "high": op.high}
        written = True


def _any_word(view: View, tile: Area, source: Stored, window: Window) -> Words:
    """Some word of the tile's input, again and again."""
    return Words(view.bank, view.first(source_area(window, tile, source)), (0, 0, 0, 0))


@lower.register
def _(op: AveragePool, lowering: Lowering, work: Work) -> tuple[int, int, int]:
    result, number, name = lowering.stored(work.output), lowering.number, work.node.name
    zero = op.zero(lowering.value(work.maps[0]).format)
    source = replace(lowering.stored(work.maps[0]), zero_point=zero)
    weights, parameters = _average_constants(lowering.layout, name, op, zero)
    fields = {"zero_target": op.offset, "low": op.low, "high": op.high}
    sums = Sums(parameters, fields, int(VectorFlag.BIAS), single=True)
    finish = finish_of(lowering, work, result, None, sums)
    made = WindowSums(number, name, op.window, source, result, weights, finish)
    lowering.later(lambda chip, _: made.emit(chip, lambda tile: _parts(op, tile, source)))
    return 0, 0, 0


def _average_constants(
    layout: Layout, name: str, op: AveragePool, zero: int
) -> tuple[Tensor, Tensor]:
    """Weights and parameters of a mean."""
    dim, taps = layout.config.dim, op.window.kernel[0] * op.window.kernel[1]
    identity = np.eye(dim, dtype=np.int8)
    weights = layout.add(f"{name}.identity", "weight", dim, dim, values=identity)
    # The sum less all zero points is exact; a constant in the parameter bank holds any size.
    bias, one = np.full(dim, -taps * zero, np.int64), np.ones(dim, np.int64)
    rows = np.stack([bias, one, 0 * one, 0 * one])
    return weights, layout.add(f"{name}.bias", "constant", 4, dim, element="sum", values=rows)


_Parts = Callable[[Area], Sequence[tuple[Area, dict[str, int]]]]
"""Parts of a tile with fields of their own; none where one VECTOR does for all."""


@dataclass(frozen=True)
class WindowSums:
    """Sums of what is under each window, channel by channel, all through one tile of the array.

    Parameters
    ----------
    layer, name
        For which layer, and its name.
    window
        What is summed.
    source, result
        The maps.
    weights
        The tile: the same number at each place of the diagonal.
    finish
        What takes finished tiles to their place.
    rows
        Channel blocks whose parameters are on chip at a time; None without limit.
    """

    layer: int
    name: str
    window: Window
    source: Stored
    result: Stored
    weights: Tensor
    finish: Finish
    rows: int | None = None

    def emit(self, chip: MapChip, parts: _Parts = lambda _: ()) -> None:
        """Emit everything."""
        config, layer, source, result = chip.config, self.layer, self.source, self.result
        bank = config.scratchpad_depth
        most = min(config.accumulator_depth, bank)
        pieces = _pieces(self.window, source, bank)
        tiles = tiles_of_map(
            result, source, pieces[0], most, bank, self.name, blocks_at_most=self.rows
        )
        identity = chip.hold(layer, self.weights)
        areas = [source_area(piece, tile, source) for tile in tiles for piece in pieces]
        sources = Sources(chip, layer, source, areas)
        finish = self.finish(chip, tiles)
        touched = spans(identity.bank, identity.base, config.dim, 1, config.dim, write=False)
        for tile in tiles:
            sums = chip.next_sums()
            for piece in pieces:
                view = sources.next(source_area(piece, tile, source))
                chip.weigh(layer, touched, identity.base)
                fresh = piece is pieces[0]
                _sum_windows(chip, layer, piece, tile, view, source, sums, fresh=fresh)
            finish.run(tile, sums, parts(tile))


def _pieces(window: Window, source: Stored, bank: int) -> list[Window]:
    """A window, or its rows in parts, what a result sees of one of which a bank can hold."""
    (high, wide), down = window.kernel, window.dilation[0]
    columns = min(source.width, window.extent(1))
    rows = max(1, (bank // columns - 1) // down + 1)
    if min(source.height, window.extent(0)) * columns <= bank:
        rows = high
    top, *rest = window.padding
    return [
        replace(
            window,
            kernel=(min(rows, high - first), wide),
            padding=(top - first * down, rest[0], rest[1], rest[2]),
        )
        for first in range(0, high, rows)
    ]


def _sum_windows(
    chip: MapChip,
    layer: int,
    window: Window,
    tile: Area,
    view: View,
    source: Stored,
    sums: int,
    *,
    fresh: bool,
) -> None:
    """STREAM what is under the windows of a tile, all taps of one onto one word."""
    taps = Taps((0, window.kernel[0]), (0, window.kernel[1]), tile.blocks)
    nest = seen(window, (source.height, source.width), source.zero_point, taps, tile, view)
    inner = [replace(nest.blocks, target=tile.pixels), *nest.pixels, *nest.taps]
    touched = view.accesses(source_area(window, tile, source), write=False)
    onto = Onto(sums, 0, tile.words)
    chip.stream(layer, touched, nest.word, onto, [], inner, fresh=fresh, limits=nest.limits)


def _parts(op: AveragePool, tile: Area, source: Stored) -> list[tuple[Area, dict[str, int]]]:
    """Parts of a tile whose windows see equally many elements, with their scale."""
    window = op.window
    if op.include_padding:
        multiplier, shift = op.scales[window.kernel[0] * window.kernel[1]]
        return [(tile, {"multiplier": multiplier, "shift": shift})]
    parts = []
    for rows, high in _runs(window, 0, tile.rows, source.height):
        for columns, wide in _runs(window, 1, tile.columns, source.width):
            multiplier, shift = op.scales[high * wide] if high * wide else _NOTHING
            part = replace(tile, rows=rows, columns=columns)
            parts.append((part, {"multiplier": multiplier, "shift": shift}))
    return parts


def _runs(
    window: Window, axis: int, outputs: tuple[int, int], size: int
) -> list[tuple[tuple[int, int], int]]:
    """Ranges of outputs that see equally many elements along one axis, with that number."""
    runs: list[tuple[tuple[int, int], int]] = []
    for place in range(*outputs):
        first = place * window.stride[axis] - window.padding[axis]
        taps = range(window.kernel[axis])
        seen = sum(0 <= first + k * window.dilation[axis] < size for k in taps)
        if runs and runs[-1][1] == seen:
            runs[-1] = ((runs[-1][0][0], place + 1), seen)
        else:
            runs.append(((place, place + 1), seen))
    return runs
