"""The vector unit on both simulators, both operand widths, all widths of scale."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from pulsarray.config import Config
from pulsarray.hw.vector import VectorUnit
from tests.hw.harness import run_bench

_INT8: dict[str, Any] = {"parameter_depth": 8}
_INT16 = {"operand_bits": 16, "acc_bits": 48, "scale_bits": 0, "parameter_depth": 8}
CONFIGS = {
    "int8": Config(dim=2, bus_bits=16, **_INT8),
    "scale24": Config(dim=3, bus_bits=32, scale_bits=24, acc_bits=24, tables=3, **_INT8),
    "scale16": Config(dim=5, bus_bits=64, scale_bits=16, acc_bits=29, tables=1, **_INT8),
    "int16": Config(dim=4, bus_bits=64, table_segments=32, **_INT16),
    "sums64": Config(dim=3, bus_bits=64, table_segments=16, tables=8, **{**_INT16, "acc_bits": 64}),
}
"""Machines by name, each with other extremes."""


@pytest.mark.parametrize("name", CONFIGS)
def test_random(simulator: str, name: str) -> None:
    config = CONFIGS[name]
    parameters = {**dataclasses.asdict(config), "seed": 1}
    run_bench(VectorUnit(config), "vector_bench", simulator, parameters)
