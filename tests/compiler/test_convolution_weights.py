"""Weights of convolutions as tiles of the array."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pulsarray.compiler.lower.weights import (
    Tiles,
    parameter_rows,
    place_weights,
    slices_of,
    tiles_of,
)
from pulsarray.compiler.machine.layout import Layout
from pulsarray.config import Config
from pulsarray.program import unpack

SMALL = st.integers(1, 4)


def config(dim: int) -> Config:
    word = 8 << (dim - 1).bit_length()
    return Config(dim=dim, bus_bits=word // 2, burst_beats=64)


def dense(weight: np.ndarray, groups: int) -> np.ndarray:
    """The weight as one block-diagonal matrix a tap: (kh, kw, C, N)."""
    kh, kw, depth, count = weight.shape
    each = count // groups
    whole = np.zeros((kh, kw, depth * groups, count), np.int64)
    for group in range(groups):
        rows = slice(group * depth, (group + 1) * depth)
        columns = slice(group * each, (group + 1) * each)
        whole[:, :, rows, columns] = weight[..., columns]
    return whole


def in_blocks(vector: np.ndarray, dim: int) -> np.ndarray:
    """Channels as blocks of D lanes, zeros in the last."""
    padded = np.zeros(-(-len(vector) // dim) * dim, np.int64)
    padded[: len(vector)] = vector
    return padded.reshape(-1, dim)


@st.composite
def weights(draw: st.DrawFn) -> tuple[np.ndarray, int, int]:
    """A weight, its groups, and D."""
    groups, depth, each = draw(st.integers(1, 9)), draw(st.integers(1, 9)), draw(st.integers(1, 5))
    kh, kw, dim = draw(SMALL), draw(SMALL), draw(st.sampled_from((2, 3, 4, 5, 8, 16)))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    return rng.integers(-128, 128, (kh, kw, depth, each * groups)), groups, dim


@settings(deadline=None)
@given(weights())
def test_tiles_are_the_block_diagonal_matrix(case: tuple[np.ndarray, int, int]) -> None:
    weight, groups, dim = case
    kh, kw, depth, count = weight.shape
    tiles = tiles_of(weight, groups, dim)
    rng = np.random.default_rng(7)
    given_ = in_blocks(rng.integers(-128, 128, depth * groups), dim)
    wanted = np.einsum("c,yxcn->yxn", given_.ravel()[: depth * groups], dense(weight, groups))
    values = tiles.values.astype(np.int64)
    laid = np.zeros((kh, kw, len(tiles.starts) * dim), np.int64)
    for block, start in enumerate(tiles.starts):
        seen = given_[start : start + tiles.depth]
        assert len(seen) == tiles.depth
        lanes = slice(block * dim, (block + 1) * dim)
        laid[..., lanes] = np.einsum("bi,yxbij->yxj", seen, values[block])
    assert np.array_equal(laid[..., :count], wanted)
    assert not laid[..., count:].any()


@given(st.integers(1, 70), st.sampled_from((2, 4, 8, 16)))
def test_depthwise_keeps_the_diagonal_alone(channels: int, dim: int) -> None:
    tiles = tiles_of(np.ones((3, 3, 1, channels), np.int64), channels, dim)
    assert tiles.depth == 1
    assert list(tiles.starts) == list(range(-(-channels // dim)))
    off = tiles.values * (1 - np.eye(dim, dtype=np.int8))
    assert not off.any()
    assert tiles.values.sum() == 9 * channels


@settings(deadline=None)
@given(st.lists(st.tuples(SMALL, SMALL, st.integers(1, 7)), min_size=1, max_size=3), st.data())
def test_slices_partition_the_weights(
    shapes: list[tuple[int, int, int]], data: st.DataObject
) -> None:
    dim = 4
    terms = [Tiles(np.zeros((2, kh, kw, n, dim, dim), np.int8), [0, 0]) for kh, kw, n in shapes]
    depth, taps = data.draw(st.integers(1, 8)), data.draw(st.integers(1, 5))
    slices = slices_of(terms, depth, taps)
    covered: list[tuple[int, int, int]] = []
    end = 0
    for piece in slices:
        low, high = piece.blocks
        top, bottom = piece.taps
        assert 0 < high - low <= depth
        assert 0 < bottom - top <= taps
        assert piece.offset == end
        assert piece.words == (high - low) * (bottom - top) * shapes[piece.term][1] * dim
        end += piece.words
        covered += [(piece.term, b, t) for b in range(low, high) for t in range(top, bottom)]
    every = [(n, b, t) for n, (kh, _, d) in enumerate(shapes) for b in range(d) for t in range(kh)]
    assert sorted(covered) == every
    assert end == sum(kh * kw * n * dim for kh, kw, n in shapes)


@settings(deadline=None)
@given(weights(), st.integers(1, 3), st.integers(1, 3))
def test_weights_lie_in_the_order_of_the_slices(
    case: tuple[np.ndarray, int, int], depth: int, taps: int
) -> None:
    weight, groups, dim = case
    tiles, layout = tiles_of(weight, groups, dim), Layout(config(dim))
    slices = slices_of([tiles], depth, taps)
    tensor = place_weights(layout, "c", [tiles], slices, weight.shape[3])
    memory, _ = layout.image([])
    size = layout.config.word_bytes
    raw = memory[tensor.address : tensor.address + tensor.bytes(layout.config)].view(np.int8)
    words = raw.reshape(len(tiles.starts), tensor.rows, size)
    assert not words[..., dim:].any()
    for block, piece in ((b, s) for b in range(len(tiles.starts)) for s in slices):
        part = words[block, piece.offset : piece.offset + piece.words, :dim]
        low, top = piece.blocks[0], piece.taps[0]
        wanted = tiles.values[block, top : piece.taps[1], :, low : piece.blocks[1]]
        assert np.array_equal(part.reshape(wanted.shape), wanted)


@pytest.mark.parametrize("one", [False, True])
@pytest.mark.parametrize("count", [1, 4, 11])
def test_parameters_by_lane(count: int, one: bool) -> None:
    dim = 4
    rng, layout = np.random.default_rng(count), Layout(config(dim))
    bias = rng.integers(-(1 << 20), 1 << 20, count)
    multiplier = rng.integers(1, 1 << 30, 1 if one else count)
    shift = rng.integers(0, 40, 1 if one else count)
    tensor = parameter_rows(layout, "c", bias, multiplier, shift, dim)
    rows = unpack(layout.image([])[0], tensor, layout.config).reshape(-1, 4, dim)
    for column, wanted in enumerate((bias, multiplier, shift)):
        lanes = rows[:, column].ravel()
        assert np.array_equal(lanes[:count], np.broadcast_to(wanted, count))
        assert not lanes[count:].any()
    assert not rows[:, 3].any()
