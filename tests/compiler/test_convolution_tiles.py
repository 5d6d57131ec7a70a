"""How convolutions are cut: every cut fits the banks, and its tiles are the whole result."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pulsarray.compiler.ir.window import Window
from pulsarray.compiler.lower.cuts import ConvolutionShape, Cut, Room
from pulsarray.compiler.lower.cutting import (
    choose,
    input_range,
)
from pulsarray.compiler.machine.views import Area
from pulsarray.config import PRESETS, Config
from pulsarray.errors import InputError
from tests.compiler.machines import configs

SMALL = st.integers(1, 4)


def tiles(shape: ConvolutionShape, cut: Cut) -> Iterator[Area]:
    """Output tiles of one channel block."""
    whole = Area((0, 1), (0, shape.images), (0, shape.out_height), (0, shape.out_width))
    return whole.cut(1, cut.images, cut.rows, cut.columns)


@st.composite
def windows(draw: st.DrawFn) -> Window:
    kernel, dilation = draw(st.tuples(SMALL, SMALL)), draw(st.tuples(*[st.integers(1, 2)] * 2))
    reach = [(k - 1) * d for k, d in zip(kernel, dilation, strict=True)]
    padding = [draw(st.integers(0, reach[i % 2])) for i in range(4)]
    stride = draw(st.tuples(*[st.integers(1, 3)] * 2))
    return Window(kernel, stride, (padding[0], padding[1], padding[2], padding[3]), dilation)


@st.composite
def shapes(draw: st.DrawFn) -> ConvolutionShape:
    window = draw(windows())
    height, width = draw(st.integers(1, 20)), draw(st.integers(1, 40))
    try:
        size = window.output(height, width)
    except InputError:
        assume(False)
    return ConvolutionShape(
        images=draw(st.integers(1, 5)),
        height=height,
        width=width,
        out_height=size[0],
        out_width=size[1],
        out_blocks=draw(st.integers(1, 9)),
        depth=draw(st.integers(1, 30)),
        window=window,
        shares_depth=draw(st.booleans()),
        loads_source=draw(st.booleans()),
        stores_result=draw(st.booleans()),
        loads_second=draw(st.booleans()),
        vector_words=draw(st.sampled_from((1, 2, 4))),
    )


ROOMS = st.sampled_from((Room(1, 1, 0, 1), Room(2, 2, 1, 1), Room(1, 2, 0, 1)))


def assert_fits(shape: ConvolutionShape, config: Config, cut: Cut) -> None:
    bank, window = config.scratchpad_depth, shape.window
    assert 1 <= cut.images <= shape.images
    assert 1 <= cut.rows <= shape.out_height
    assert 1 <= cut.columns <= shape.out_width
    assert 1 <= cut.blocks <= shape.out_blocks
    assert 1 <= cut.depth <= shape.depth
    assert 1 <= cut.taps <= window.kernel[0]
    words = cut.pixels * cut.blocks
    assert words <= config.accumulator_depth
    if shape.stores_result:
        assert words <= bank
    assert cut.taps * window.kernel[1] * cut.depth * config.dim <= bank
    assert cut.blocks <= config.parameter_depth
    if cut.images > 1:
        assert (cut.rows, cut.columns) == (shape.out_height, shape.out_width)
    if shape.loads_source:
        for tile in tiles(shape, cut):
            rows = input_range(window, 0, *tile.rows, shape.height)
            columns = input_range(window, 1, *tile.columns, shape.width)
            seen = (rows[1] - rows[0]) * (columns[1] - columns[0]) * tile.counts[1]
            assert seen * cut.depth <= bank


@settings(max_examples=60, deadline=None)
@given(shapes(), configs(), ROOMS)
def test_every_cut_fits_the_banks(shape: ConvolutionShape, config: Config, room: Room) -> None:
    try:
        cut = choose(shape, config, room, "conv")
    except InputError:
        assume(False)
    assert_fits(shape, config, cut)


@settings(max_examples=40, deadline=None)
@given(shapes(), st.sampled_from(("tiny", "small", "base")), ROOMS)
def test_presets_cut_every_small_convolution(
    shape: ConvolutionShape, preset: str, room: Room
) -> None:
    assert_fits(shape, PRESETS[preset], choose(shape, PRESETS[preset], room, "conv"))


@settings(max_examples=60, deadline=None)
@given(shapes(), st.data())
def test_tiles_partition_the_result(shape: ConvolutionShape, data: st.DataObject) -> None:
    rows = data.draw(st.integers(1, shape.out_height))
    columns = data.draw(st.integers(1, shape.out_width))
    cut = Cut(data.draw(st.integers(1, shape.images)), rows, columns, 1, 1, 1, True)
    seen: list[tuple[int, ...]] = []
    for tile in tiles(shape, cut):
        assert tile.blocks == (0, 1)
        assert tile.pixels <= cut.pixels
        seen += product(*(range(*r) for r in (tile.images, tile.rows, tile.columns)))
    every = product(range(shape.images), range(shape.out_height), range(shape.out_width))
    assert sorted(seen) == list(every)


@given(windows(), st.integers(1, 20), st.data())
def test_input_range_is_what_the_outputs_see(
    window: Window, size: int, data: st.DataObject
) -> None:
    try:
        outputs = window.output(size, 99)[0]
    except InputError:
        assume(False)
    low = data.draw(st.integers(0, outputs - 1))
    high = data.draw(st.integers(low + 1, outputs))
    first, end = input_range(window, 0, low, high, size)
    rows = {
        y * window.stride[0] - window.padding[0] + k * window.dilation[0]
        for y in range(low, high)
        for k in range(window.kernel[0])
    }
    inside = {row for row in rows if 0 <= row < size}
    assert 0 <= first < end <= size
    if inside:
        assert inside <= set(range(first, end))
        assert end - first <= max(rows) - min(rows) + 1


def square(**changes: object) -> ConvolutionShape:
    shape = ConvolutionShape(
        images=1, height=32, width=32, out_height=32, out_width=32, out_blocks=2, depth=2,
        window=Window((3, 3), (1, 1), (1, 1, 1, 1)), shares_depth=True,
        loads_source=True, stores_result=True,
    )  # fmt: skip
    return replace(shape, **changes)


def test_kernels_and_rows_that_fit_stay_whole() -> None:
    cut = choose(square(), PRESETS["base"], Room(3, 3, 0, 1), "conv")
    assert cut.taps == 3
    assert cut.columns == 32


def test_deep_inputs_are_cut_in_depth() -> None:
    config = replace(PRESETS["base"], scratchpad_depth=1024)
    cut = choose(square(depth=64), config, Room(3, 3, 0, 1), "conv")
    assert cut.depth < 64
    assert_fits(square(depth=64), config, cut)


def test_large_kernels_are_cut_in_rows() -> None:
    window = Window((9, 9), (1, 1), (4, 4, 4, 4))
    config = replace(PRESETS["base"], scratchpad_depth=512)
    cut = choose(square(window=window), config, Room(3, 3, 0, 1), "conv")
    assert cut.taps < 9
    assert_fits(square(window=window), config, cut)


def test_many_small_images_share_a_tile() -> None:
    shape = square(images=16, height=4, width=4, out_height=4, out_width=4)
    assert choose(shape, PRESETS["base"], Room(3, 3, 0, 1), "conv").images > 1


def test_window_larger_than_a_bank() -> None:
    shape = square(window=Window((9, 9)), out_height=24, out_width=24)
    config = Config(dim=16, scratchpad_depth=64, bus_bits=128)
    with pytest.raises(InputError, match=r"c7: no tile of \(9, 9\) .* banks of 64 words"):
        choose(shape, config, Room(1, 1, 0, 1), "c7")
