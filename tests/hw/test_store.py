"""STORE on both simulators."""

from __future__ import annotations

import pytest

from pulsarray.hw.units.store import StoreUnit
from tests.hw.configs import CONFIGS, every, settings
from tests.hw.harness import run_bench


@pytest.mark.parametrize(
    ("simulator", "name"), every("d5-wide", "d4-quarter", "d2-word", "d3-half")
)
def test_store(simulator: str, name: str) -> None:
    config = CONFIGS[name]
    run_bench(StoreUnit(config), "store_bench", simulator, settings(config))
