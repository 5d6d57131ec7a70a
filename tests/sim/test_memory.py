"""The simulated memory on both simulators."""

from __future__ import annotations

from pathlib import Path

import pytest

import pulsarray.sim
from pulsarray.files import cache_folder
from pulsarray.sim import builds, toolchain

TOP = "pulsarray_memory"
HERE = Path(__file__).parent


@pytest.mark.parametrize("simulator", toolchain.SIMULATORS)
@pytest.mark.parametrize("bus_bits", [8, 128])
def test_memory(simulator: str, bus_bits: int) -> None:
    source = Path(pulsarray.sim.__file__).parent / "memory.v"
    parameters = {"BUS_BITS": bus_bits, "MEMORY_BITS": 16}
    folder = cache_folder() / "tests" / f"memory-{simulator}-{bus_bits}"
    public = {TOP: builds.ports(source)}
    toolchain.build(simulator, [source], TOP, folder, parameters=parameters, public=public)
    toolchain.run(simulator, TOP, folder, "memory_tests", python_path=[HERE])
