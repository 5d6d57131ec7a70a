"""Networks of several inputs and outputs on RTL, equal to the model in every byte and cycle."""

from __future__ import annotations

import os

import pytest

from pulsarray.config import PRESETS
from pulsarray.sim.random.cases import Group, differences, draw_ends_groups
from pulsarray.sim.toolchain import SIMULATORS

SEED = int(os.environ.get("PULSARRAY_SEED", "1"))
# Of a machine that other tests build, too.
SHORT = Group("ends", SEED * 100 + 63, PRESETS["tiny"], 6)
LONG = draw_ends_groups(SEED, 500)


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_some_networks(simulator: str) -> None:
    differing = differences(list(SHORT.cases()), SHORT.config, simulator)
    assert not any(differing), differing


@pytest.mark.slow
@pytest.mark.parametrize("simulator", SIMULATORS)
@pytest.mark.parametrize("group", LONG, ids=lambda group: f"D{group.config.dim}-seed{group.seed}")
def test_all_networks(group: Group, simulator: str) -> None:
    differing = differences(list(group.cases()), group.config, simulator)
    assert not any(differing), differing


def test_there_are_500_cases() -> None:
    assert sum(group.count for group in LONG) == 500
    assert {group.config.dim for group in LONG} == {2, 4, 5, 8}
