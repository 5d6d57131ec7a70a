"""Small machines for the benches of single blocks: odd sizes, every width of the bus."""

from __future__ import annotations

from typing import Any

import pytest

from pulsarray.config import Config
from pulsarray.sim.toolchain import SIMULATORS

__all__ = ["CONFIGS", "every", "settings"]

_SMALL: dict[str, Any] = {
    "scratchpad_banks": 4,
    "scratchpad_depth": 64,
    "accumulator_depth": 40,
    "parameter_depth": 5,
    "outstanding": 3,
    "queue_depth": 2,
}

CONFIGS = {
    "d2-word": Config(dim=2, bus_bits=16, burst_beats=16, **_SMALL | {"outstanding": 1}),
    "d3-half": Config(dim=3, bus_bits=16, burst_beats=32, transposer=False, **_SMALL),
    "d4-quarter": Config(dim=4, bus_bits=8, burst_beats=32, tables=0, **_SMALL),
    "d5-wide": Config(
        dim=5,
        operand_bits=16,
        acc_bits=40,
        scale_bits=0,
        bus_bits=32,
        **_SMALL | {"scratchpad_depth": 50, "queue_depth": 1},
    ),
    "d3-fast": Config(dim=3, bus_bits=16, burst_beats=32, fast_clock=True, **_SMALL),
}
"""Machines by name."""


def every(*names: str) -> list[Any]:
    """Pairs of simulator and machine: the first on both simulators, the second on Icarus; the
    rest are slow tests.
    """
    quick = {("icarus", names[0]), ("verilator", names[0]), ("icarus", names[1])}
    pairs = [(simulator, name) for name in names for simulator in SIMULATORS]
    return [pytest.param(*p, marks=[] if p in quick else pytest.mark.slow) for p in pairs]


def settings(config: Config) -> dict[str, int]:
    """What a bench needs to make the same machine: the ``parameters`` of ``run_bench``."""
    return dict(config.to_dict())
