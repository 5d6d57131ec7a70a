"""Images as a host has them, and the matrices that tensors hold."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pulsarray.errors import InputError
from pulsarray.images import from_matrix, host_shape, to_matrix
from pulsarray.program import Tensor
from pulsarray.views import HostView

SMALL = st.integers(1, 5)


def tensor(
    rows: int, columns: int, image: tuple[int, ...] = (), window: tuple[int, ...] = (), **more: Any
) -> Tensor:
    return Tensor(
        name="x", role="input", address=0, rows=rows, columns=columns,
        image=image, window=window, **more,
    )  # fmt: skip


def images(samples: int, image: tuple[int, int, int], *, channels_first: bool = False) -> Tensor:
    height, width, channels = image
    view = HostView.channels_first(image) if channels_first else None
    return tensor(samples * height * width, channels, image, view=view)


def codes(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(-128, 128, shape)


@given(SMALL, SMALL, SMALL, SMALL, st.booleans())
def test_there_and_back(
    samples: int, height: int, width: int, channels: int, channels_first: bool
) -> None:
    given_ = images(samples, (height, width, channels), channels_first=channels_first)
    values = codes(samples, *host_shape(given_))
    matrix = to_matrix(values, given_, "x")
    assert matrix.shape == (given_.rows, given_.columns)
    assert np.array_equal(from_matrix(matrix, given_), values)
    for n, y, x, c in np.ndindex(samples, height, width, channels):
        at = (n, c, y, x) if channels_first else (n, y, x, c)
        assert matrix[(n * height + y) * width + x, c] == values[at]


def test_plain_matrix_stays() -> None:
    matrix = codes(0, 3, 7)
    given_ = tensor(3, 7)
    assert host_shape(given_) == (3, 7)
    assert np.array_equal(to_matrix(matrix, given_, "x"), matrix)
    assert np.array_equal(from_matrix(matrix, given_), matrix)


def test_shapes_of_the_host() -> None:
    assert host_shape(images(2, (3, 4, 5))) == (2, 3, 4, 5)
    assert host_shape(images(2, (3, 4, 5), channels_first=True)) == (2, 5, 3, 4)


@pytest.mark.parametrize("channels_first", [False, True])
def test_flat_samples_have_the_order_of_the_host(channels_first: bool) -> None:
    given_ = images(2, (3, 4, 5), channels_first=channels_first)
    values = codes(1, *host_shape(given_))
    flat = to_matrix(values.reshape(2, -1), given_, "x")
    assert np.array_equal(flat, to_matrix(values, given_, "x"))


@pytest.mark.parametrize(
    "shape", [(1, 3, 4, 5), (2, 5, 3, 4), (2, 3, 4), (120,), (24, 5), (2, 59), (2, 3, 4, 5, 1)]
)
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    given_ = images(2, (3, 4, 5))
    with pytest.raises(InputError, match=r"digits: shape must be \(2, 3, 4, 5\), not \(") as error:
        to_matrix(np.zeros(shape, np.int64), given_, "digits")
    assert str(shape) in str(error.value)


@settings(deadline=None)
@given(st.data())
def test_packed_windows(data: st.DataObject) -> None:
    """Row by row, a packed matrix is what each output pixel of the convolution looks at."""
    draw = data.draw
    samples, height, width, channels = draw(st.tuples(*[st.integers(1, 6)] * 4))
    kernel, dilation = draw(st.tuples(SMALL, SMALL)), draw(st.tuples(*[st.integers(1, 3)] * 2))
    stride, padding = draw(st.tuples(SMALL, SMALL)), draw(st.tuples(*[st.integers(0, 3)] * 4))
    zero, first = draw(st.integers(-128, 127)), draw(st.booleans())
    top, left, bottom, right = padding
    spare = [
        height + top + bottom - (kernel[0] - 1) * dilation[0] - 1,
        width + left + right - (kernel[1] - 1) * dilation[1] - 1,
    ]
    assume(min(spare) >= 0)
    rows, columns = (n // s + 1 for n, s in zip(spare, stride, strict=True))
    given_ = tensor(
        samples * rows * columns,
        kernel[0] * kernel[1] * channels,
        (height, width, channels),
        (*kernel, *stride, *padding, *dilation),
        zero_point=zero,
        view=HostView.channels_first((height, width, channels)) if first else None,
    )
    assert host_shape(given_) == (
        (samples, channels, height, width) if first else (samples, height, width, channels)
    )
    values = codes(draw(st.integers(0, 99)), *host_shape(given_))
    plain = values.transpose(0, 2, 3, 1) if first else values
    wanted = []
    for n, y, x in product(range(samples), range(rows), range(columns)):
        row: list[int] = []
        for ky, kx in product(range(kernel[0]), range(kernel[1])):
            at = y * stride[0] - top + ky * dilation[0], x * stride[1] - left + kx * dilation[1]
            inside = 0 <= at[0] < height and 0 <= at[1] < width
            row += plain[n, at[0], at[1]].tolist() if inside else [zero] * channels
        wanted.append(row)
    assert np.array_equal(to_matrix(values, given_, "x"), np.array(wanted))
