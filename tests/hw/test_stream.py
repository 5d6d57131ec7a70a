"""STREAM and its array on both simulators, with and without the transposer."""

from __future__ import annotations

import pytest

from pulsarray.hw.units.stream import StreamUnit
from tests.hw.configs import CONFIGS, every, settings
from tests.hw.harness import run_bench


@pytest.mark.parametrize(
    ("simulator", "name"),
    [*every("d5-wide", "d2-word", "d3-half", "d4-quarter"), ("icarus", "d3-fast")],
)
def test_stream(simulator: str, name: str) -> None:
    config = CONFIGS[name]
    run_bench(StreamUnit(config), "stream_bench", simulator, settings(config))
