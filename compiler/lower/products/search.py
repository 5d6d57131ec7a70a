"""Chooses how each product is cut, with the timing model as the cost."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from pulsarray.compiler.lower.products.product import Product
from pulsarray.compiler.lower.products.tile import Cut, Tiling, cut_of, tilings
from pulsarray.compiler.machine.assemble import Assembly
from pulsarray.compiler.machine.transfers import least_run
from pulsarray.config import Config
from pulsarray.errors import InputError

__all__ = ["EFFORT", "Search"]

EFFORT = 32000
"""Instructions that are looked at, all candidates together, where the caller does not say."""
_CANDIDATE = 50
"""What a candidate costs besides its instructions, in instructions: an empty program's time.

With 0 more are looked at: of 30 products and MLPs of the corpus three take 2 % fewer cycles."""
_TILE_SIZES = 6
"""Tile sizes of a layer that are tried; with 3, `mlp/000@base` of the corpus takes 5.0 % longer."""
_BEAM = 3
"""First guesses of a layer that are refined; with 1, 64 x 64 x 64 takes 3.5 % longer on `base`."""
_Rank = tuple[int, int]


Build = Callable[[Sequence[Cut]], Assembly]
"""Makes a program from a cut for each product."""


class Search:
    """The fastest program found for a network, by trying how its products are cut.

    For each product several first guesses are made, and the best of them refined: a few properties
    at a time are varied, and kept when the whole program becomes faster. Then all products are
    refined in turn until nothing helps any more or the effort is spent.

    Parameters
    ----------
    products
        The network's products.
    config, free_banks, usual
        The machine, its scratchpad banks for streamed operands and weights, and for streamed
        operands of other operators, 0 without others.
    build
        Makes the program.

    Members
    -------
    best
        The fastest program so far: at first that of the first guess.
    """

    def __init__(
        self,
        products: Sequence[Product],
        config: Config,
        free_banks: int,
        usual: int,
        build: Build,
    ) -> None:
        self.config, self.build, self.products = config, build, products
        self.options = [
            tilings(product.shape, config, free_banks, product.loads_source, usual)
            for product in products
        ]
        self.ranks: dict[tuple[Tiling, ...], _Rank] = {}
        self._alike: dict[tuple[Cut, ...], _Rank] = {}
        self.effort = self.spent = 0
        self.chosen, self.best = self._first()

    def cuts(self, candidate: Sequence[Tiling]) -> tuple[Cut, ...]:
        """The cut of every product."""
        pairs = zip(self.products, candidate, strict=True)
        return tuple(cut_of(product.shape, tiling) for product, tiling in pairs)

    def _first(self) -> tuple[tuple[Tiling, ...], Assembly]:
        """The first guess of each product."""
        if not all(self.options):
            raise InputError("compiler: found no way to cut these layers that fits the machine")
        guess = tuple(next(self._starts(options[0])) for options in self.options)
        assembly = self._build(guess)
        assert assembly is not None
        return guess, assembly

    def _starts(self, tiling: Tiling) -> Iterator[Tiling]:
        """Guesses at how to begin and end, the first one for where nothing is tried."""
        dim = self.config.dim
        height = dim if dim <= self.config.scratchpad_depth else 1
        first = -(-least_run(self.config) // height)
        yield replace(tiling, feed_first=first, feed_growth=1.5)
        yield replace(tiling, feed_first=4, feed_growth=1.0, feed_all=True)
        yield replace(tiling, feed_first=1, head=dim, tail=dim, halve=True)

    def run(self, effort: int) -> Assembly:
        """Look at up to ``effort`` instructions, all candidates together.

        All products with the same rows, then product by product, then all in turn.
        """
        self.effort, count = self.spent + effort, len(self.options)
        for rows in sorted({option.rows for option in self.options[0]}) if count else ():
            self._rank(self._even(rows), self.effort)
        for layer in range(count):
            limit = self.spent + (self.effort - self.spent) // (count - layer + 1)
            guesses = [self._with(layer, tiling) for tiling in self._sizes(layer)]
            ranked = sorted((r, k) for k, g in enumerate(guesses) if (r := self._rank(g, limit)))
            for _, place in ranked[:_BEAM]:
                self._refine(layer, guesses[place], limit)
        before: tuple[Tiling, ...] = ()
        while before != self.chosen:
            before = self.chosen
            for layer in range(count):
                self._refine(layer, self.chosen, self.effort)
        return self.best

    def _even(self, rows: int) -> tuple[Tiling, ...]:
        """Every layer in tiles of so many rows, where that is possible."""
        return tuple(
            next(
                (
                    replace(t, feed_first=now.feed_first, feed_growth=now.feed_growth)
                    for t in options
                    if t.rows == rows
                ),
                now,
            )
            for options, now in zip(self.options, self.chosen, strict=True)
        )

    def _with(self, layer: int, tiling: Tiling) -> tuple[Tiling, ...]:
        return (*self.chosen[:layer], tiling, *self.chosen[layer + 1 :])

    def _refine(self, layer: int, start: tuple[Tiling, ...], limit: int) -> None:
        """Improve one layer's tiling from a first guess, some properties at a time."""
        current = start
        for vary in (self._places, self._feeds, self._tails, self._tapers):
            for tiling in vary(layer, current[layer]):
                candidate = (*current[:layer], tiling, *current[layer + 1 :])
                rank = self._rank(candidate, limit)
                if rank and rank < self.ranks[current]:
                    current = candidate

    def _rank(self, candidate: tuple[Tiling, ...], limit: int) -> _Rank | None:
        """How good a candidate is, less is better; None if the effort does not allow to know."""
        if candidate not in self.ranks:
            if self.spent + len(self.best.layers) + _CANDIDATE > limit:
                return None
            assembly = self._build(candidate)
            if assembly is not None and self.ranks[candidate] < self.ranks[self.chosen]:
                self.best, self.chosen = assembly, candidate
        return self.ranks[candidate]

    def _build(self, candidate: tuple[Tiling, ...]) -> Assembly | None:
        """Schedule and time a candidate; None if it cannot be the fastest.

        That is so where one with the same cuts has been built: as most have, so only the first is.
        They count as effort all the same.
        """
        cuts, assembly = self.cuts(candidate), None
        if cuts not in self._alike:
            assembly = self.build(cuts)
            count = len(assembly.layers)
            self._alike[cuts] = assembly.cycles + count, count  # An instruction is worth a cycle.
        self.ranks[candidate] = rank = self._alike[cuts]
        self.spent += rank[1] + _CANDIDATE
        return assembly

    def _sizes(self, layer: int) -> Iterator[Tiling]:
        """The most promising tile sizes, each in its most promising arrangement."""
        best: dict[tuple[int, int, int], Tiling] = {}
        for option in self.options[layer]:
            best.setdefault((option.rows, option.columns, option.depth), option)
        for option in list(best.values())[:_TILE_SIZES]:
            yield from self._starts(option)

    def _places(self, layer: int, chosen: Tiling) -> Iterator[Tiling]:
        """Order of the loops and use of the banks."""
        size = (chosen.rows, chosen.columns, chosen.depth)
        for option in self.options[layer]:
            if (option.rows, option.columns, option.depth) == size:
                yield replace(
                    chosen, rows_outer=option.rows_outer, source_banks=option.source_banks
                )

    def _feeds(self, layer: int, chosen: Tiling) -> Iterator[Tiling]:
        """Pieces at the start."""
        dim = self.config.dim
        yield replace(chosen, feed_first=0)
        for first in (1, 2, 3, 4, 6):
            for growth in (1.0, 1.5, 2.0):
                for head in (0, dim, 2 * dim) if first == 1 else (0,):
                    yield replace(
                        chosen,
                        feed_first=first,
                        feed_growth=growth,
                        feed_all=growth == 1.0,
                        head=head,
                    )

    def _tapers(self, layer: int, chosen: Tiling) -> Iterator[Tiling]:
        """Pieces at the end."""
        for taper in (0.0, 1.25, 1.5, 2.0):
            for most in (0, 4, 8, 16):
                yield replace(chosen, taper=taper, feed_most=most)

    def _tails(self, layer: int, chosen: Tiling) -> Iterator[Tiling]:
        """Last tiles and chunks."""
        dim = self.config.dim
        for rows in (0, max(1, dim // 2), dim, 2 * dim):
            for halve in (False, True):
                yield replace(chosen, tail=rows, halve=halve)
        for chunk in (0, dim, 2 * dim, 4 * dim):
            yield replace(chosen, chunk=chunk)
