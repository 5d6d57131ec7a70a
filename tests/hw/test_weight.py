"""WEIGHT on both simulators, with and without the transposer."""

from __future__ import annotations

import pytest

from pulsarray.hw.units.weight import WeightUnit
from tests.hw.configs import CONFIGS, every, settings
from tests.hw.harness import run_bench


@pytest.mark.parametrize(
    ("simulator", "name"), every("d4-quarter", "d3-half", "d2-word", "d5-wide")
)
def test_weight(simulator: str, name: str) -> None:
    config = CONFIGS[name]
    run_bench(WeightUnit(config), "weight_bench", simulator, settings(config))
