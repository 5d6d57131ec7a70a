"""Whole programs on RTL and on the model: values, cycles, counters and events, difference 0."""

from __future__ import annotations

import pytest

from pulsarray.sim.random.cases import Group, differences, draw_groups
from pulsarray.sim.toolchain import SIMULATORS

SEED, CASES = 7, 54
CHOSEN = (1, 5, 9, 14)
"""Of 18 groups: compiled programs for D = 2 and 5, single instructions for D = 3 and 8."""
GROUPS = [draw_groups(SEED, CASES)[number] for number in CHOSEN]


@pytest.mark.parametrize("simulator", SIMULATORS)
@pytest.mark.parametrize("group", GROUPS, ids=lambda group: f"{group.kind}-D{group.config.dim}")
def test_rtl_is_the_model(group: Group, simulator: str) -> None:
    cases = list(group.cases())
    differing = differences(cases, group.config, simulator)
    assert {case.name: text for case, text in zip(cases, differing, strict=True) if text} == {}


def test_groups_differ() -> None:
    assert {group.kind for group in GROUPS} == {"gemm", "instructions"}
    assert len({group.config.fingerprint for group in GROUPS}) == len(GROUPS)
