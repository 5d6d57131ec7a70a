"""Every error of the machine on both simulators, with an identical run after each; and resets."""

from __future__ import annotations

import functools
from dataclasses import replace

import pytest

from pulsarray.program import Program
from pulsarray.registers import ErrorCode
from pulsarray.run import RunResult
from pulsarray.sim.compare import compare
from pulsarray.sim.device import run_jobs, run_model
from pulsarray.sim.jobs import Job, Outcome
from pulsarray.sim.random.programs import random_program
from pulsarray.sim.toolchain import SIMULATORS
from tests.sim import bad_programs

CONFIGS = {
    "icarus": replace(bad_programs.CONFIG, bus_bits=32),
    "verilator": bad_programs.CONFIG,
}
"""A bus of one word on the slow simulator, where loads and stores take half as many cycles, and
one of half a word on the other."""
SEEDS = {"icarus": 1, "verilator": 50}
"""Of 60 programs of 30 instructions that with every unit which takes the fewest cycles."""


@functools.cache
def good(simulator: str) -> Program:
    """What runs after each of them."""
    return random_program(CONFIGS[simulator], seed=SEEDS[simulator], length=30)


@functools.cache
def good_result(simulator: str) -> RunResult:
    """What the model says about the good program."""
    return run_model(good(simulator))


@functools.cache
def outcomes(simulator: str) -> dict[str, tuple[Outcome, Outcome]]:
    """Every bad program and the good one after it, in one process."""
    config, jobs = CONFIGS[simulator], []
    for bad in bad_programs.CASES.values():
        program = replace(bad.program, config=config)
        jobs += [Job(program=program, cycle_limit=bad.cycle_limit), Job(program=good(simulator))]
    finished = run_jobs(jobs, config, simulator)
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
    assert compare(good_result(simulator), after.checked(), good(simulator)) == []


def test_every_error_is_provoked() -> None:
    provoked = {bad.error for bad in bad_programs.CASES.values()}
    assert provoked == set(ErrorCode) - {ErrorCode.NONE, ErrorCode.STOPPED}


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_back_to_back_and_reset_in_mid_run(simulator: str) -> None:
    job = Job(program=good(simulator))
    cycles = good_result(simulator).cycles
    resets = [replace(job, reset_after=cycles * part // 8) for part in range(1, 8)]
    jobs = [job, job, replace(job, reset=True), *resets, job]
    for outcome in run_jobs(jobs, CONFIGS[simulator], simulator):
        assert compare(good_result(simulator), outcome.checked(), good(simulator)) == []


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_stopped_by_the_host_and_anywhere_in_memory(simulator: str) -> None:
    """What is stopped runs again as if nothing had been; where the image lies changes nothing."""
    cycles = good_result(simulator).cycles
    jobs = [
        Job(program=good(simulator), stop_after=cycles * part // 8, base_address=base)
        for part, base in ((1, 0), (4, 4096), (7, 0x7000))
    ]
    for outcome in run_jobs(jobs, CONFIGS[simulator], simulator):
        assert compare(good_result(simulator), outcome.checked(), good(simulator)) == []
