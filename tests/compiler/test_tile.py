"""Tiles cover a product exactly once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pulsarray.compiler.lower.products.tile import (
    Shape,
    Tiling,
    cut_of,
    depth_tiles,
    feed,
    output_tiles,
    tilings,
)
from pulsarray.compiler.machine.views import balanced
from pulsarray.config import PRESETS, Config
from tests.compiler.machines import configs


def test_shape_counts_blocks_and_units() -> None:
    assert Shape.of(5, 17, 9, PRESETS["small"]) == Shape(5, 17, 9, 2, 8, 3, 1)


def test_shallow_bank_takes_one_row_a_pass() -> None:
    shape = Shape.of(5, 70, 9, Config(dim=64, scratchpad_depth=16, bus_bits=512))
    assert (shape.height, shape.units, shape.per_block) == (1, 70, 64)
    assert shape.source_blocks(3, 64) == (0, 1)


def test_balanced_makes_equal_tiles() -> None:
    assert [balanced(10, most) for most in (4, 5, 9, 10, 50)] == [4, 5, 5, 10, 10]


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 30), st.integers(1, 9), st.integers(1, 12), st.integers(1, 4),
    st.integers(0, 9), st.booleans(), st.booleans(),
)  # fmt: skip
def test_output_tiles_cover(
    m: int, n: int, rows: int, columns: int, tail: int, halve: bool, outer: bool
) -> None:
    shape = Shape(m, 8, 4 * n, n, 4, 2, 1)
    tiling = Tiling(rows, columns, 2, outer, tail=tail, halve=halve)
    seen = np.zeros((m, n), int)
    for tile in output_tiles(shape, tiling):
        seen[slice(*tile.rows), slice(*tile.columns)] += 1
    assert (seen == 1).all()


@given(st.integers(1, 99), st.integers(1, 9), st.sampled_from([1.0, 1.5, 2.0]),
       st.integers(0, 9), st.sampled_from([0.0, 1.25, 2.0]))  # fmt: skip
def test_feed_goes_from_start_to_end(
    units: int, first: int, growth: float, most: int, taper: float
) -> None:
    tiling = Tiling(1, 1, 1, feed_first=first, feed_growth=growth, feed_most=most, taper=taper)
    cuts = feed(units, tiling)
    assert cuts[0] == 0
    assert cuts[-1] == units
    assert cuts == sorted(set(cuts))


def test_feed_grows_after_the_second_piece() -> None:
    assert feed(20, Tiling(1, 1, 1, feed_first=1, feed_growth=2.0)) == [0, 1, 2, 4, 8, 16, 20]
    assert feed(20, Tiling(1, 1, 1)) == [0, 20]


def test_what_changes_nothing_is_not_in_a_cut() -> None:
    shape = Shape(5, 40, 30, 4, 8, 5, 1)
    whole = Tiling(5, 4, 5, feed_first=2)
    cut = cut_of(shape, whole)
    assert cut.pieces == (0, 2, 4, 5)
    for nothing in ({"feed_all": True}, {"head": 8}, {"chunk": 20}, {"rows_outer": False}):
        assert cut_of(shape, replace(whole, **nothing)) == cut
    one = replace(whole, feed_first=1)
    assert cut_of(shape, replace(one, head=8)) == cut_of(shape, replace(one, head=5))
    for change in ({"head": 2}, {"chunk": 19}, {"tail": 1}, {"source_banks": 2}):
        assert cut_of(shape, replace(one, **change)) != cut_of(shape, one)


def test_depth_tiles_stay_in_one_block() -> None:
    shape = Shape(5, 70, 9, 1, 1, 70, 64)
    tiles = depth_tiles(shape, Tiling(5, 1, 40))
    assert tiles == [(0, 40), (40, 64), (64, 70)]


@settings(max_examples=30, deadline=None)
@given(configs(), st.integers(1, 300), st.integers(1, 300), st.integers(1, 300), st.booleans())
def test_tilings_fit(config: Config, m: int, k: int, n: int, loads_source: bool) -> None:
    shape = Shape.of(m, k, n, config)
    fitting = tilings(shape, config, config.scratchpad_banks - 2, loads_source)
    assert fitting
    for tiling in fitting:
        assert tiling.rows * tiling.columns <= config.accumulator_depth
        assert tiling.columns * tiling.depth * shape.height <= config.scratchpad_depth
        blocks = -(-tiling.depth // shape.per_block)
        assert not loads_source or tiling.rows * blocks <= config.scratchpad_depth
        assert (
            replace(tiling, rows=1).source_banks < config.scratchpad_banks - 2 or not loads_source
        )
