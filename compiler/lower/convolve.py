"""A convolution as instructions: steps of WEIGHT and STREAM, tile after tile.

There is no copy of shifted pixels anywhere: for every kernel tap the address generator streams the
pixels of the input that lie under it, and gives the zero point outside the map.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product

from pulsarray.compiler.ir.window import Window
from pulsarray.compiler.lower.chip import Cached, MapChip, Use
from pulsarray.compiler.lower.cutting import input_range
from pulsarray.compiler.lower.weights import Slice, Tiles
from pulsarray.compiler.lower.windows import Taps, seen
from pulsarray.compiler.machine.array import Onto
from pulsarray.compiler.machine.emitter import spans
from pulsarray.compiler.machine.views import Area, Stored, View
from pulsarray.program import Tensor

__all__ = ["Convolver", "Term"]


@dataclass(frozen=True, eq=False)
class Term:
    """One input of a convolution, with what it contributes."""

    stored: Stored
    window: Window
    tiles: Tiles


@dataclass(frozen=True)
class _Step:
    """A step: a tile, one of its blocks, one slice."""

    tile: Area
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
    tiles
        Output tiles in order, all channel blocks of one in the same accumulator bank.
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
        tiles: Sequence[Area],
        finish: Callable[[Area, int], None],
    ) -> None:
        self.chip, self.layer, self.terms, self.slices = chip, layer, terms, slices
        self.weights, self.finish = weights, finish
        self.steps = [step for tile in tiles for step in self._steps(tile)]

    def _steps(self, tile: Area) -> Iterator[_Step]:
        """The steps of a tile."""
        inside = list(product(self.slices, range(*tile.blocks)))
        for number, (piece, block) in enumerate(inside):
            yield _Step(tile, block, piece, number == 0, number == len(inside) - 1)

    def run(self) -> None:
        """Emit everything."""
        weight_keys = [(step.block, step.slice.offset) for step in self.steps]
        largest = max(piece.words for piece in self.slices)
        weights = Cached(self.chip.weights, largest, weight_keys)
        areas = [self._source_area(step) for step in self.steps]
        sources = self._source_cache(areas)
        bank = -1
        for number, (step, area) in enumerate(zip(self.steps, areas, strict=True)):
            if step.opens:
                bank = self.chip.next_sums()
            local = self._weights(Use(weights, (step.block, step.slice.offset), number), step)
            stored = self.terms[step.slice.term].stored
            loaded = sources and stored.tensor and Use(sources, (step.slice.term, area), number)
            view = self.chip.cached_area(self.layer, loaded or None, stored, area)
            self._weight(step, local)
            self._stream(step, area, view, bank)
            if step.closes:
                self.finish(step.tile, bank)

    def _source_area(self, step: _Step) -> Area:
        """What a step looks at of its input."""
        term, tile = self.terms[step.slice.term], step.tile
        start = term.tiles.starts[step.block]
        return Area(
            (start + step.slice.blocks[0], start + step.slice.blocks[1]),
            tile.images,
            input_range(term.window, 0, *tile.rows, term.stored.height),
            input_range(term.window, 1, *tile.columns, term.stored.width),
        )

    def _source_cache(self, areas: Sequence[Area]) -> Cached | None:
        """Slots for parts of the inputs that come from memory."""
        terms = (step.slice.term for step in self.steps)
        keys = list(zip(terms, areas, strict=True))
        loaded = [area for term, area in keys if self.terms[term].stored.tensor is not None]
        if not loaded:
            return None
        return Cached(self.chip.sources, max(area.words for area in loaded), keys)

    def _weights(self, use: Use, step: _Step) -> tuple[int, int]:
        """Bank and first word of a step's weights."""
        piece, tensor = step.slice, self.weights
        word = step.block * tensor.rows + piece.offset
        return self.chip.cached_words(self.layer, use, tensor, word, piece.words)

    def _weight(self, step: _Step, local: tuple[int, int]) -> None:
        (bank, base), dim, words = local, self.chip.config.dim, step.slice.words
        touched = spans(bank, base, words, 1, words, write=False)
        self.chip.weigh(self.layer, touched, base, count0=words // dim, stride0=dim)

    def _stream(self, step: _Step, area: Area, view: View, bank: int) -> None:
        """STREAM the pixels under every tap of a step."""
        term, tile = self.terms[step.slice.term], step.tile
        window, stored = term.window, term.stored
        taps = Taps(step.slice.taps, (0, window.kernel[1]), area.blocks)
        nest = seen(window, (stored.height, stored.width), stored.zero_point, taps, tile, view)
        target = (step.block - tile.blocks[0]) * tile.pixels
        self.chip.stream(
            self.layer,
            view.accesses(area, write=False),
            nest.word,
            Onto(bank, target, target + tile.pixels),
            [*nest.taps, nest.blocks],
            nest.pixels,
            fresh=step.slice is self.slices[0],
            limits=nest.limits,
        )
