"""A convolution as instructions: steps of WEIGHT and STREAM, tile after tile.

There is no copy of shifted pixels anywhere: for every kernel tap the address generator streams the
pixels of the input that lie under it, and gives the zero point outside the map.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

from pulsarray.compiler.ir.window import Window
from pulsarray.compiler.machine.emitter import Access, spans
from pulsarray.compiler.maps.chip import Cached, MapChip
from pulsarray.compiler.maps.convolution_tiles import Cut, input_range
from pulsarray.compiler.maps.convolution_weights import Slice, Tiles
from pulsarray.compiler.maps.views import Area, Stored, View
from pulsarray.isa import Opcode, StreamFlag
from pulsarray.program import Tensor

__all__ = ["Convolver", "Loop", "Term", "emit_stream"]

_LEVELS = 5


@dataclass(frozen=True)
class Loop:
    """A level of STREAM: iterations, steps of source and target, and of the window."""

    count: int
    source: int = 0
    target: int = 0
    row: int = 0
    column: int = 0

    @property
    def steps(self) -> tuple[int, int, int, int]:
        """All steps."""
        return self.source, self.target, self.row, self.column


def _fewest(loops: Sequence[Loop]) -> list[Loop]:
    """The same nest with as few levels as possible."""
    found: list[Loop] = []
    for loop in loops:
        if loop.count == 1:
            continue
        if found and found[-1].steps == tuple(loop.count * step for step in loop.steps):
            found[-1] = replace(loop, count=found[-1].count * loop.count)
        else:
            found.append(loop)
    return found


def emit_stream(
    chip: MapChip,
    layer: int,
    touched: Sequence[Access],
    outer: Sequence[Loop],
    inner: Sequence[Loop],
    *,
    fresh: bool,
    summed: Sequence[Loop] = (),
    flags: int = 0,
    fields: dict[str, int],
) -> None:
    """STREAM over a nest of any depth: what exceeds five levels becomes several instructions.

    Parameters
    ----------
    chip, layer, touched
        Where to, for which layer, and the words it touches.
    outer
        Levels of which every iteration is a pass that adds to the same sums.
    inner
        Levels of a pass, at most four that cannot be merged.
    fresh
        Whether the first iteration of ``outer`` overwrites the sums.
    summed
        Levels inside a pass, the innermost ones, that add up in one word.
    flags, fields
        Flags and fields of the first instruction.
    """
    # A pass has a level of its own, be it of a single word.
    outside, inside, within = _fewest(outer), _fewest(inner) or [Loop(1)], _fewest(summed)
    loose = max(0, len(outside) + len(inside) + len(within) - _LEVELS)
    levels = [(loop, True) for loop in outside]
    levels += [(loop, False) for loop in inside] + [(loop, True) for loop in within]
    unrolled, kept = levels[:loose], levels[loose:]
    pass_levels = min(len(kept), len(inside) + len(within))
    first_level = _LEVELS - len(kept)
    mask = sum(1 << first_level + n for n, (_, adds) in enumerate(kept) if adds)
    for place in product(*(range(loop.count) for loop, _ in unrolled)):
        steps = [(index, *level) for index, level in zip(place, unrolled, strict=True) if index]
        begins = fresh and not any(adds for *_, adds in steps)
        given = dict(fields)
        for index, loop, _ in steps:
            given["source"] += index * loop.source
            given["target"] += index * loop.target
            given["row_start"] = given.get("row_start", 0) + index * loop.row
            given["column_start"] = given.get("column_start", 0) + index * loop.column
        given["source"] &= 0xFFFF
        again = StreamFlag.KEEP if any(place) and not outside else 0
        given["flags"] = flags | again | (0 if begins else StreamFlag.ACCUMULATE)
        for number, (loop, _) in enumerate(kept):
            level = first_level + number
            given |= {
                f"count{level}": loop.count,
                f"source_stride{level}": loop.source,
                f"target_stride{level}": loop.target,
                f"row_step{level}": loop.row,
                f"column_step{level}": loop.column,
            }
        chip.emitter.emit(
            Opcode.STREAM,
            layer,
            touched,
            inner=pass_levels,
            fresh=mask if begins else 0,
            **given,
        )


@dataclass(frozen=True, eq=False)
class Term:
    """One input of a convolution, with what it contributes."""

    stored: Stored
    window: Window
    tiles: Tiles


@dataclass(frozen=True)
class _Step:
    """A step: a tile of pixels and blocks, one of its blocks, one slice."""

    pixels: int
    blocks: tuple[int, int]
    block: int
    slice: Slice
    opens: bool
    closes: bool


class Convolver:
    """Emits a convolution.

    Parameters
    ----------
    chip, layer
        Where to, and for which layer.
    terms
        Its inputs: their sums are added.
    slices, weights
        The steps over the inputs, and the weights in their order.
    cut
        How it is cut.
    tiles
        Output tiles of one channel block.
    blocks
        Channel blocks of the result.
    finish
        Takes every finished tile: its area, and its accumulator bank.
    """

    def __init__(
        self,
        chip: MapChip,
        layer: int,
        terms: Sequence[Term],
        slices: Sequence[Slice],
        weights: Tensor,
        cut: Cut,
        tiles: Sequence[Area],
        blocks: int,
        finish: Callable[[Area, int], None],
    ) -> None:
        self.chip, self.layer, self.terms, self.slices = chip, layer, terms, slices
        self.weights, self.cut, self.tiles, self.blocks = weights, cut, tiles, blocks
        self.finish = finish
        self.steps = list(self._all_steps())

    def _all_steps(self) -> Iterator[_Step]:
        """Every step in order."""
        groups = [
            (low, min(self.blocks, low + self.cut.blocks))
            for low in range(0, self.blocks, self.cut.blocks)
        ]
        pixels = range(len(self.tiles))
        if self.cut.pixels_outer:
            order = [(tile, group) for tile in pixels for group in groups]
        else:
            order = [(tile, group) for group in groups for tile in pixels]
        for tile, group in order:
            inside = list(product(self.slices, range(*group)))
            for number, (piece, block) in enumerate(inside):
                opens, closes = number == 0, number == len(inside) - 1
                yield _Step(tile, group, block, piece, opens, closes)

    def run(self) -> None:
        """Emit everything."""
        weight_keys = [(step.block, step.slice.offset) for step in self.steps]
        largest = max(piece.words for piece in self.slices)
        weights = Cached(self.chip.weights, largest, weight_keys)
        sources = self._source_cache()
        bank = -1
        for number, step in enumerate(self.steps):
            if step.opens:
                bank = self.chip.next_accumulator()
            local = self._weights(weights, step, number)
            view = self._source(sources, step, number)
            self._weight(step, local)
            self._stream(step, view, bank)
            if step.closes:
                self.finish(replace(self.tiles[step.pixels], blocks=step.blocks), bank)

    def _source_area(self, step: _Step) -> Area:
        """What a step looks at of its input."""
        term, tile = self.terms[step.slice.term], self.tiles[step.pixels]
        start = term.tiles.starts[step.block]
        return Area(
            (start + step.slice.blocks[0], start + step.slice.blocks[1]),
            tile.images,
            input_range(term.window, 0, *tile.rows, term.stored.height),
            input_range(term.window, 1, *tile.columns, term.stored.width),
        )

    def _source_cache(self) -> Cached | None:
        """Slots for parts of the inputs that come from memory."""
        keys = [(step.slice.term, self._source_area(step)) for step in self.steps]
        loaded = [area for term, area in keys if self.terms[term].stored.tensor is not None]
        if not loaded:
            return None
        return Cached(self.chip.sources, max(area.words for area in loaded), keys)

    def _weights(self, cache: Cached, step: _Step, number: int) -> tuple[int, int]:
        """Bank and first word of a step's weights, which are LOADed if they are not there."""
        resident, missing = cache.find((step.block, step.slice.offset), number)
        slot = resident.slot
        if missing:
            words = step.slice.words
            self.chip.load(
                self.layer,
                self.weights,
                step.block * self.weights.rows + step.slice.offset,
                slot.bank,
                slot.base,
                rows=words,
                blocks=1,
                local_stride=words,
                memory_stride=words,
            )
        return slot.bank, slot.base

    def _source(self, cache: Cached | None, step: _Step, number: int) -> View:
        """The step's input, which is LOADed if it is in memory and not there."""
        stored = self.terms[step.slice.term].stored
        if stored.tensor is None:
            return stored.view
        assert cache is not None
        area = self._source_area(step)
        resident, missing = cache.find((step.slice.term, area), number)
        slot = resident.slot
        if missing:
            return self.chip.load_area(self.layer, stored, area, slot.bank, slot.base)
        return View.of(slot.bank, slot.base, area)

    def _weight(self, step: _Step, local: tuple[int, int]) -> None:
        dim, words = self.chip.config.dim, step.slice.words
        bank, base = local
        tiles = words // dim
        self.chip.emitter.emit(
            Opcode.WEIGHT,
            self.layer,
            spans(bank, base, words, 1, words, write=False),
            bank=bank,
            local=base,
            count0=tiles,
            stride0=dim if tiles > 1 else 0,
        )

    def _stream(self, step: _Step, view: View, bank: int) -> None:
        """STREAM the pixels under every tap of a step."""
        term, tile = self.terms[step.slice.term], self.tiles[step.pixels]
        window, stored = term.window, term.stored
        area = self._source_area(step)
        _, images, rows, columns = tile.counts
        _, image_step, row_step, _ = view.steps
        (sy, sx), (dy, dx) = window.stride, window.dilation
        padded = any(window.padding)
        row = tile.rows[0] * sy - window.padding[0] + step.slice.taps[0] * dy
        column = tile.columns[0] * sx - window.padding[1]
        see = int(padded)
        outer = [
            Loop(step.slice.taps[1] - step.slice.taps[0], dy * row_step, row=see * dy),
            Loop(window.kernel[1], dx, column=see * dx),
            Loop(area.counts[0], view.steps[0]),
        ]
        inner = [
            Loop(images, image_step, rows * columns),
            Loop(rows, sy * row_step, columns, row=see * sy),
            Loop(columns, sx, 1, column=see * sx),
        ]
        target = (step.block - step.blocks[0]) * tile.pixels
        fields = {
            "source_bank": view.bank,
            "source": view.word(area.blocks[0], tile.images[0], row, column),
            "target_bank": bank,
            "target": target,
        }
        if padded:
            fields |= {
                "row_start": row,
                "column_start": column,
                "row_limit": stored.height,
                "column_limit": stored.width,
                "pad": stored.zero_point,
            }
        touched = [
            *view.accesses(area, write=False),
            Access(bank, target, target + tile.pixels, True, exclusive=True),
        ]
        emit_stream(
            self.chip,
            self.layer,
            touched,
            outer,
            inner,
            fresh=step.slice is self.slices[0],
            flags=int(StreamFlag.WINDOW_READ) if padded else 0,
            fields=fields,
        )
