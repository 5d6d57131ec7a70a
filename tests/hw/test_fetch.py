"""FETCH and the read arbiter on both simulators; FETCH also on buses wider than its units."""

from __future__ import annotations

import pytest

from pulsarray.config import Config
from pulsarray.hw.control.fetch import Fetch
from pulsarray.hw.memory.read_arbiter import ReadArbiter
from tests.hw.configs import CONFIGS, every, settings
from tests.hw.harness import run_bench

MACHINES = {
    **CONFIGS,
    "d40-64bytes": Config(dim=40, bus_bits=512, burst_beats=16),
    "d64-128bytes": Config(
        dim=64, operand_bits=16, acc_bits=48, scale_bits=0, bus_bits=1024, burst_beats=16
    ),
}


@pytest.mark.parametrize(
    ("simulator", "name"),
    every("d40-64bytes", "d2-word", "d4-quarter", "d5-wide", "d64-128bytes"),
)
def test_fetch(simulator: str, name: str) -> None:
    config = MACHINES[name]
    run_bench(Fetch(config), "fetch_bench", simulator, settings(config))


@pytest.mark.parametrize(("simulator", "name"), every("d3-half", "d2-word"))
def test_read_arbiter(simulator: str, name: str) -> None:
    config = CONFIGS[name]
    run_bench(ReadArbiter(config), "read_arbiter_bench", simulator, settings(config))
