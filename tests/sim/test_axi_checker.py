"""The AXI protocol checker on both simulators."""

from __future__ import annotations

from pathlib import Path

import pytest

import pulsarray.sim
from pulsarray.files import cache_folder
from pulsarray.sim import builds, toolchain
from pulsarray.sim.protocol import violation_text

TOP = "axi_checker"
HERE = Path(__file__).parent


@pytest.mark.parametrize("simulator", toolchain.SIMULATORS)
def test_axi_checker(simulator: str) -> None:
    source = Path(pulsarray.sim.__file__).parent / "axi_checker.v"
    parameters = {"BUS_BITS": 64, "OUTSTANDING": 2}
    folder = cache_folder() / "tests" / f"axi_checker-{simulator}"
    public = {TOP: builds.ports(source)}
    toolchain.build(simulator, [source], TOP, folder, parameters=parameters, public=public)
    toolchain.run(simulator, TOP, folder, "checker_tests", python_path=[HERE])


def test_violation_text() -> None:
    assert violation_text(6) == "AXI protocol: a read burst crosses 4 KiB"
