"""Every error of the machine on both simulators, with an identical run after each; and resets."""

from __future__ import annotations

import functools
from dataclasses import replace

import pytest

from pulsarray.registers import ErrorCode
from pulsarray.run import RunResult
from pulsarray.sim.compare import compare
from pulsarray.sim.device import run_jobs, run_model
from pulsarray.sim.jobs import Job, Outcome
from pulsarray.sim.random.programs import random_program
from pulsarray.sim.toolchain import SIMULATORS
from tests.sim import bad_programs

GOOD = random_program(bad_programs.CONFIG, seed=50, length=30)
"""Runs after each of them: of 55 drawn ones that with every unit which takes the fewest cycles."""


@functools.cache
def good_result() -> RunResult:
    """What the model says about the good program."""
    return run_model(GOOD)


@functools.cache
def outcomes(simulator: str) -> dict[str, tuple[Outcome, Outcome]]:
    """Every bad program and the good one after it, in one process."""
    jobs = []
    for bad in bad_programs.CASES.values():
        jobs += [Job(program=bad.program, cycle_limit=bad.cycle_limit), Job(program=GOOD)]
    finished = run_jobs(jobs, bad_programs.CONFIG, simulator)
    pairs = zip(finished[::2], finished[1::2], strict=True)
    return dict(zip(bad_programs.CASES, pairs, strict=True))


@pytest.mark.parametrize("simulator", SIMULATORS)
@pytest.mark.parametrize("name", bad_programs.CASES)
def test_stops(name: str, simulator: str) -> None:
    bad = bad_programs.CASES[name]
    stopped = outcomes(simulator)[name][0]
    assert (stopped.error, stopped.error_index) == (bad.error, bad.index)
    assert stopped.violation == 0


@pytest.mark.parametrize("simulator", SIMULATORS)
@pytest.mark.parametrize("name", bad_programs.CASES)
def test_clean_restart(name: str, simulator: str) -> None:
    after = outcomes(simulator)[name][1]
    assert compare(good_result(), after.checked(), GOOD) == []


def test_every_error_is_provoked() -> None:
    provoked = {bad.error for bad in bad_programs.CASES.values()}
    assert provoked == set(ErrorCode) - {ErrorCode.NONE, ErrorCode.STOPPED}


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_back_to_back_and_reset_in_mid_run(simulator: str) -> None:
    job = Job(program=GOOD)
    cycles = good_result().cycles
    resets = [replace(job, reset_after=cycles * part // 8) for part in range(1, 8)]
    jobs = [job, job, replace(job, reset=True), *resets, job]
    for outcome in run_jobs(jobs, bad_programs.CONFIG, simulator):
        assert compare(good_result(), outcome.checked(), GOOD) == []


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_stopped_by_the_host_and_anywhere_in_memory(simulator: str) -> None:
    """What is stopped runs again as if nothing had been; where the image lies changes nothing."""
    cycles = good_result().cycles
    jobs = [
        Job(program=GOOD, stop_after=cycles * part // 8, base_address=base)
        for part, base in ((1, 0), (4, 4096), (7, 0x7000))
    ]
    for outcome in run_jobs(jobs, bad_programs.CONFIG, simulator):
        assert compare(good_result(), outcome.checked(), GOOD) == []
