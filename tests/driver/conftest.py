"""A small program, and its machine in a simulator behind the drivers' bus."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from pulsarray.compiler.gemm import compile_gemm
from pulsarray.config import Config, load_config
from pulsarray.program import Program
from pulsarray.sim.bus import SimulatedBus

BASE = 0x3000
"""Where in the simulated memory the buffer lies."""

Simulated = Callable[..., SimulatedBus]


@pytest.fixture(scope="session")
def small() -> Config:
    return load_config("tiny", ["dim=2", "bus_bits=16"])


@pytest.fixture(scope="session")
def product(small: Config) -> Program:
    return compile_gemm(5, 3, 4, small)


@pytest.fixture
def simulated(small: Config, product: Program) -> Iterator[Simulated]:
    """Start the machine on Icarus."""
    started: list[SimulatedBus] = []

    def start(config: Config = small, size: int = product.memory.size) -> SimulatedBus:
        started.append(SimulatedBus(config, "icarus", size, BASE))
        return started[-1]

    yield start
    for bus in started:
        bus.close()
