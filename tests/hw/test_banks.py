"""The banks on both simulators."""

from __future__ import annotations

import pytest

from pulsarray.hw.memory.banks import Banks
from tests.hw.configs import CONFIGS, every, settings
from tests.hw.harness import run_bench


@pytest.mark.parametrize(
    ("simulator", "name"), [*every("d5-wide", "d2-word"), ("icarus", "d3-fast")]
)
def test_banks(simulator: str, name: str) -> None:
    config = CONFIGS[name]
    run_bench(Banks(config), "banks_bench", simulator, settings(config))
