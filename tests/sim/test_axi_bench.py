"""The same programs on another memory, with random back-pressure on every channel: same values."""

from __future__ import annotations

import numpy as np
import pytest

from pulsarray.compiler.gemm import compile_gemm
from pulsarray.config import Config
from pulsarray.model.functional import execute
from pulsarray.sim.axi_bench import AxiJob, run_axi
from pulsarray.sim.random.programs import random_config, random_program
from pulsarray.sim.toolchain import SIMULATORS

CONFIG: Config = random_config(np.random.default_rng(11), 3)
SMALL = Config(dim=5, bus_bits=16, burst_beats=16, outstanding=3, queue_depth=2)


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_random_programs_under_back_pressure(simulator: str) -> None:
    programs = [random_program(CONFIG, seed, length=20) for seed in range(4)]
    pauses = (0.0, 0.3, 0.6, 0.9)
    jobs = [
        AxiJob(program, seed, pause)
        for seed, (program, pause) in enumerate(zip(programs, pauses, strict=True))
    ]
    for program, memory in zip(programs, run_axi(jobs, CONFIG, simulator), strict=True):
        np.testing.assert_array_equal(memory, execute(program))


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_a_product_under_back_pressure(simulator: str) -> None:
    program = compile_gemm(13, 22, 17, SMALL, seed=3)
    memory = run_axi([AxiJob(program, 5, 0.5)], SMALL, simulator)[0]
    np.testing.assert_array_equal(memory, execute(program))
