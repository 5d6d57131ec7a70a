"""What orders the units: each unit's sequencer, and the semaphores between them."""

from __future__ import annotations

import pytest

from pulsarray.hw.semaphores import Semaphores
from pulsarray.hw.unit import Sequencer
from tests.hw.harness import run_bench


@pytest.mark.parametrize(
    ("simulator", "bits", "depth"),
    [("icarus", 64, 1), ("icarus", 256, 3), ("icarus", 64, 4), ("verilator", 256, 3)],
)
def test_sequencer(simulator: str, bits: int, depth: int) -> None:
    parameters = {"bits": bits, "depth": depth}
    run_bench(Sequencer(bits, depth), "sequencer_bench", simulator, parameters)


def test_semaphores(simulator: str) -> None:
    run_bench(Semaphores(5), "semaphores_bench", simulator, {"units": 5})
