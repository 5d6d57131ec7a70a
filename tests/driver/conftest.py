"""A small program, and its machine in a simulator behind the drivers' bus."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest

from pulsarray import compiler
from pulsarray.compiler.builder import Builder
from pulsarray.compiler.gemm import compile_gemm
from pulsarray.config import Config, load_config
from pulsarray.program import Program
from pulsarray.sim.bus import SimulatedBus
from pulsarray.sim.random.maps import with_inputs

BASE = 0x3000
"""Where in the simulated memory the buffer lies."""

Simulated = Callable[..., SimulatedBus]


@pytest.fixture(scope="session")
def small() -> Config:
    return load_config("tiny", ["dim=2", "bus_bits=16"])


@pytest.fixture(scope="session")
def product(small: Config) -> Program:
    return compile_gemm(5, 3, 4, small)


@pytest.fixture(scope="session")
def several(small: Config) -> Program:
    """Two inputs and three outputs, of which one is read further and two share their words."""
    rng = np.random.default_rng(5)
    builder = Builder("several", {"a": 5, "b": 3}).dense(rng.normal(size=(5, 4))).relu(name="first")
    builder.output("first").dense(rng.normal(size=(3, 4)), source="b").add("first")
    builder.dense(rng.normal(size=(4, 3))).output("scores").softmax().output("answer")
    data = {"a": rng.normal(size=(9, 5)), "b": rng.normal(size=(9, 3))}
    program = compiler.compile(builder.build(), small, calibration=data)
    codes = {name: rng.integers(-128, 128, (1, 1, 1, n)) for name, n in (("a", 5), ("b", 3))}
    return replace(program, memory=with_inputs(program, codes))


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
