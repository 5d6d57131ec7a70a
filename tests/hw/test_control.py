"""Registers, counters and errors on both simulators."""

from __future__ import annotations

import dataclasses

import pytest

from pulsarray.hw.control.counters import Counters
from pulsarray.hw.control.errors import Errors
from pulsarray.hw.control.registers import Registers
from tests.hw.configs import CONFIGS, every, settings
from tests.hw.harness import run_bench


@pytest.mark.parametrize(("simulator", "name"), every("d3-half", "d2-word"))
def test_registers(simulator: str, name: str) -> None:
    config = dataclasses.replace(CONFIGS[name], counters=name != "d2-word")
    run_bench(Registers(config), "registers_bench", simulator, settings(config))


def test_counters(simulator: str) -> None:
    run_bench(Counters(), "counters_bench", simulator)


@pytest.mark.parametrize(
    ("simulator", "name"), [*every("d5-wide", "d4-quarter"), ("icarus", "d3-fast")]
)
def test_errors(simulator: str, name: str) -> None:
    config = CONFIGS[name]
    run_bench(Errors(config), "errors_bench", simulator, settings(config))
