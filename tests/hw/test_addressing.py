"""The address generator on both simulators, in the shapes that the units use."""

from __future__ import annotations

import pytest

from pulsarray.hw.blocks.addressing import AddressGenerator
from tests.hw.harness import run_bench


@pytest.mark.parametrize(
    ("levels", "streams", "window"), [(1, 1, False), (3, 1, True), (5, 2, True), (4, 3, False)]
)
def test_nests(simulator: str, levels: int, streams: int, window: bool) -> None:
    dut = AddressGenerator(levels, streams, window=window)
    parameters = {"levels": levels, "streams": streams, "window": window, "seed": levels}
    run_bench(dut, "addressing_bench", simulator, parameters)
