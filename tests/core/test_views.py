"""Orders of elements that a host may have."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pulsarray.views import HostView


@st.composite
def permutations(draw: st.DrawFn) -> np.ndarray:
    """What reshaping and transposing once make of elements in order."""
    sizes = draw(st.lists(st.integers(1, 4), min_size=1, max_size=5))
    axes = draw(st.permutations(range(len(sizes))))
    made = np.arange(np.prod(sizes)).reshape(sizes).transpose(axes)
    return made.reshape(draw(st.sampled_from([made.shape, (made.size,), (1, made.size, 1)])))


@given(permutations(), st.integers(0, 3))
def test_there_and_back(places: np.ndarray, samples: int) -> None:
    view = HostView.of(places)
    assert view is not None
    assert np.array_equal(view.places, places)
    stored = np.random.default_rng(1).normal(size=(samples, places.size))
    values = view.to_host(stored)
    assert np.array_equal(values, stored[:, places])
    assert np.array_equal(view.from_host(values), stored)
    assert np.array_equal(view.from_host(values.reshape(samples, places.size)), stored)


def test_channels_first() -> None:
    view = HostView.of(np.arange(24).reshape(2, 3, 4).transpose(2, 0, 1))
    assert view == HostView((4, 2, 3), (4, 6), (1, 4))


def test_plain() -> None:
    assert HostView.of(np.arange(6).reshape(2, 3)) == HostView.plain((2, 3))


@pytest.mark.parametrize("order", [[1, 0], [0, 2, 1, 3], [0, 1, 3, 2], [0, 2, 4, 1, 3]])
def test_no_loops(order: list[int]) -> None:
    view = HostView.of(np.array(order))
    assert (view is None) == (order != [0, 2, 1, 3])


@pytest.mark.parametrize(
    ("shape", "counts", "strides"),
    [((4,), (2, 2), (1, 1)), ((4,), (3,), (1,)), ((4,), (4,), (2,)), ((0,), (0,), (1,))],
)
def test_wrong(shape: tuple[int], counts: tuple[int], strides: tuple[int]) -> None:
    with pytest.raises(ValueError, match="loops"):
        HostView(shape, counts, strides)
