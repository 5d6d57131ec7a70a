"""Chooses how each layer is cut, with the timing model as the cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from pulsarray.compiler.assemble import Assembly, assemble
from pulsarray.compiler.chip import Chip
from pulsarray.compiler.product import Product
from pulsarray.compiler.schedule import schedule_layer
from pulsarray.compiler.tile import Shape, Tiling, tilings
from pulsarray.config import Config

__all__ = ["search"]

_BUDGET = 12000
"""Instructions that may be looked at, all candidates together; the first one is always."""
_TILINGS = 6
"""Tilings of a layer that are tried."""


def search(products: Sequence[Product], config: Config, code_address: int) -> Assembly:
    """The fastest program found for a sequence of layers.

    Layer by layer, one property of the tiling is varied at a time and kept when the whole program
    becomes faster (or as fast with fewer instructions), until the budget is used up.
    """
    return _Search(products, config, code_address).run()


class _Search:
    def __init__(self, products: Sequence[Product], config: Config, code_address: int) -> None:
        self.products, self.config, self.code_address = products, config, code_address
        self.free = Chip(config, len(products)).free_banks
        self.shapes = [Shape.of(p.m, p.k, p.n, config) for p in products]
        self.options = [
            tilings(shape, config, self.free, product.source is not None)[:_TILINGS]
            for shape, product in zip(self.shapes, products, strict=True)
        ]
        self.seen: set[tuple[Tiling, ...]] = set()
        self.spent = 0
        self.chosen = [
            self._start(option[0], shape)
            for option, shape in zip(self.options, self.shapes, strict=True)
        ]
        self.best = self._build(self.chosen)

    def _start(self, tiling: Tiling, shape: Shape) -> Tiling:
        """A first guess at how to begin and end."""
        dim = self.config.dim
        load_bound = tiling.rows < 2 * dim
        return replace(
            tiling,
            feed_first=4 if load_bound else 1,
            feed_growth=1 if load_bound else 2,
            feed_all=load_bound,
            head=dim if tiling.rows > dim else 0,
            tail=dim if tiling.rows > dim or tiling.columns > 1 else 0,
        )

    def run(self) -> Assembly:
        """Vary the layers' tilings, each property in turn, until nothing helps."""
        before: list[Tiling] = []
        while before != self.chosen:
            before = self.chosen
            for layer in range(len(self.products)):
                for variants in (self._sizes, self._feeds, self._tails):
                    for tiling in variants(layer):
                        self._try(layer, tiling)
        return self.best

    def _try(self, layer: int, tiling: Tiling) -> None:
        candidate = [*self.chosen]
        candidate[layer] = tiling
        if tuple(candidate) in self.seen or self.spent + len(self.best.layers) > _BUDGET:
            return
        assembly = self._build(candidate)
        if _rank(assembly) < _rank(self.best):
            self.best, self.chosen = assembly, candidate

    def _build(self, tilings_: Sequence[Tiling]) -> Assembly:
        self.seen.add(tuple(tilings_))
        chip = Chip(self.config, len(self.products))
        for number, (product, tiling) in enumerate(zip(self.products, tilings_, strict=True)):
            schedule_layer(chip, number, product, tiling)
        assembly = assemble(chip.emitter.operations, self.config, self.code_address)
        self.spent += len(assembly.layers)
        return assembly

    def _sizes(self, layer: int) -> Iterator[Tiling]:
        for option in self.options[layer]:
            yield self._start(option, self.shapes[layer])

    def _feeds(self, layer: int) -> Iterator[Tiling]:
        chosen, dim = self.chosen[layer], self.config.dim
        yield replace(chosen, feed_first=0)
        for first, growth in ((1, 1), (1, 2), (2, 1), (2, 2), (4, 2)):
            for head in (0, dim, 2 * dim) if first == 1 else (0,):
                yield replace(
                    chosen, feed_first=first, feed_growth=growth, feed_all=False, head=head
                )
        for first in (1, 2, 3, 4, 6, 8):
            for head in (0, dim, 2 * dim) if first == 1 else (0,):
                yield replace(
                    chosen, feed_first=first, feed_growth=1, feed_all=True, head=head
                )

    def _tails(self, layer: int) -> Iterator[Tiling]:
        dim = self.config.dim
        for rows in (0, max(1, dim // 2), dim, 2 * dim):
            for halve in (False, True):
                yield replace(self.chosen[layer], tail=rows, halve=halve)
        for chunk in (dim, 2 * dim, 4 * dim):
            yield replace(self.chosen[layer], chunk=chunk)


def _rank(assembly: Assembly) -> tuple[int, int]:
    return assembly.cycles, len(assembly.code)
