"""LOAD on both simulators."""

from __future__ import annotations

import pytest

from pulsarray.hw.units.load import LoadUnit
from tests.hw.configs import CONFIGS, every, settings
from tests.hw.harness import run_bench


@pytest.mark.parametrize(
    ("simulator", "name"), every("d3-half", "d5-wide", "d2-word", "d4-quarter")
)
def test_load(simulator: str, name: str) -> None:
    config = CONFIGS[name]
    run_bench(LoadUnit(config), "load_bench", simulator, settings(config))
