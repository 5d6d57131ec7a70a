"""Where things lie in memory."""

from __future__ import annotations

import numpy as np
import pytest

from pulsarray.compiler.machine.layout import Layout
from pulsarray.config import PRESETS
from pulsarray.errors import InputError
from pulsarray.program import unpack

SMALL = PRESETS["small"]


def test_tensors_do_not_overlap_and_code_is_on_a_page() -> None:
    layout = Layout(SMALL)
    tensors = [layout.add(f"t{rows}", "weight", rows, 9) for rows in (1, 3, 700, 2)]
    tensors.append(layout.add("sums", "output", 5, 9, element="sum"))
    ends = [t.address + t.bytes(SMALL) for t in tensors]
    assert all(end <= t.address for end, t in zip(ends, tensors[1:], strict=False))
    image, (first, second) = layout.image([bytes(5000), bytes(3)])
    assert first % 4096 == second % 4096 == 0
    assert ends[-1] <= first
    assert first + 5000 <= second
    assert second + 3 <= image.size


def test_small_tensors_cross_no_page() -> None:
    layout = Layout(SMALL)
    for rows in range(1, 60, 7):
        tensor = layout.add(f"t{rows}", "weight", rows, 8)
        assert tensor.address // 4096 == (tensor.address + tensor.bytes(SMALL) - 1) // 4096


def test_names_are_unique() -> None:
    layout = Layout(SMALL)
    names = [layout.add("fc", "weight", 3, 8).name for _ in range(3)]
    assert names == ["fc", "fc#2", "fc#3"]


def test_image_holds_values_table_and_code() -> None:
    layout = Layout(SMALL)
    values = np.arange(-10, 17).reshape(3, 9)
    tensor = layout.add("t", "weight", 3, 9, values=values)
    table = layout.add_raw("table", np.arange(256, dtype=np.uint8))
    image, (code,) = layout.image([b"abc"])
    np.testing.assert_array_equal(unpack(image, tensor, SMALL), values)
    np.testing.assert_array_equal(image[table.address : table.address + 256], np.arange(256))
    assert bytes(image[code : code + 3]) == b"abc"
    assert image.size % 4096 == 0


def test_beyond_addresses() -> None:
    layout = Layout(SMALL)
    layout.add("a", "input", 1 << 28, 8)
    layout.add("a", "input", 1 << 27, 8)
    text = "b: 2147483648 bytes at 0xc0000000 are beyond 32-bit addresses"
    with pytest.raises(InputError, match=text):
        layout.add("b", "input", 1 << 28, 8)
