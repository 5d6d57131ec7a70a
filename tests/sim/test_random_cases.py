"""The long comparison of RTL with the model: 18 configurations, 28 programs each, two simulators.

Every D of DIMS three times: two configurations for compiled programs of random sizes, one for
random instructions. The seed is in the heading of the run and in each test's name; PULSARRAY_SEED
gives another.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, Phase, assume, given, seed, settings
from hypothesis import strategies as st

from pulsarray.compiler.gemm import compile_gemm
from pulsarray.sim.random.cases import (
    EFFORT,
    LONGEST,
    MOST_PASS_CYCLES,
    Case,
    Group,
    differences,
    draw_groups,
)
from pulsarray.sim.random.programs import random_program
from pulsarray.sim.toolchain import SIMULATORS

SEED = int(os.environ.get("PULSARRAY_SEED", "1"))
PROGRAMS = 28
GROUPS = draw_groups(SEED, 18)
SIZES = st.integers(1, LONGEST)
SETTINGS = settings(
    max_examples=PROGRAMS,
    deadline=None,
    database=None,
    phases=(Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)


@st.composite
def cases(draw: st.DrawFn, group: Group) -> Case:
    """A program for the group's configuration, and the memory it runs on."""
    latency, interval = draw(SIZES), draw(st.sampled_from((1, 2, 3, 5)))
    if group.kind == "instructions":
        number = draw(st.integers(0, 2**31))
        program = random_program(group.config, number)
        return Case(f"instructions seed={number}", program, latency, interval)
    m, k, n = draw(SIZES), draw(SIZES), draw(SIZES)
    dim = group.config.dim
    assume(m * -(-k // dim) * -(-n // dim) <= MOST_PASS_CYCLES)
    sums = draw(st.booleans())
    program = compile_gemm(m, k, n, group.config, sums=sums, seed=m + k + n, effort=EFFORT)
    return Case(f"gemm:{m}x{k}x{n} sums={sums}", program, latency, interval)


@pytest.mark.slow
@pytest.mark.parametrize("simulator", SIMULATORS)
@pytest.mark.parametrize(
    "group", GROUPS, ids=lambda group: f"{group.kind}-D{group.config.dim}-seed{group.seed}"
)
def test_rtl_is_the_model(group: Group, simulator: str) -> None:
    @SETTINGS
    @seed(group.seed)
    @given(case=cases(group))
    def check(case: Case) -> None:
        texts = differences([case], group.config, simulator)[0]
        assert not texts, f"{case.name} L={case.latency} I={case.interval}: {texts}"

    check()


def test_there_are_500_cases() -> None:
    assert len(GROUPS) * PROGRAMS >= 500
    assert {group.config.dim for group in GROUPS} == {2, 3, 4, 5, 8, 16}
    assert min(group.config.queue_depth for group in GROUPS) == 1
    ratios = {group.config.beats_per_word for group in GROUPS}
    assert ratios == {1, 2, 4}
