"""Makes ``tests.hw`` importable in every way of starting pytest, and gives the simulators."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pulsarray.sim.toolchain import SIMULATORS

ROOT = str(Path(__file__).parents[2])
if ROOT not in sys.path:
    sys.path.append(ROOT)


@pytest.fixture(params=SIMULATORS)
def simulator(request: pytest.FixtureRequest) -> str:
    """Each simulator in turn."""
    return str(request.param)
