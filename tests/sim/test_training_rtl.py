"""Training steps of random networks on RTL, equal to the model; the long comparison is slow."""

from __future__ import annotations

import os

import pytest

from pulsarray.sim.random.cases import Group, differences, draw_training_groups
from pulsarray.sim.toolchain import SIMULATORS

SEED = int(os.environ.get("PULSARRAY_SEED", "1"))
SHORT = [g for g in draw_training_groups(SEED, 30) if g.config.dim in (2, 5)][::2]
LONG = draw_training_groups(SEED, 300)


@pytest.mark.parametrize("simulator", SIMULATORS)
@pytest.mark.parametrize("group", SHORT, ids=lambda g: f"D{g.config.dim}-seed{g.seed}")
def test_some_steps(group: Group, simulator: str) -> None:
    found = differences(list(group.cases()), group.config, simulator)
    assert not any(found), found


@pytest.mark.slow
@pytest.mark.parametrize("simulator", SIMULATORS)
@pytest.mark.parametrize("group", LONG, ids=lambda g: f"D{g.config.dim}-seed{g.seed}")
def test_all_steps(group: Group, simulator: str) -> None:
    found = differences(list(group.cases()), group.config, simulator)
    assert not any(found), found
