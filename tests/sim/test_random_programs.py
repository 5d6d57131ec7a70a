"""Random programs: reproducible, legal for the timing model, and using everything."""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
import pytest

from pulsarray.isa import Alu, Opcode, StreamFlag, Unit, WeightFlag
from pulsarray.model.timing import simulate_timing
from pulsarray.program import Program
from pulsarray.sim.jobs import cycle_bound
from pulsarray.sim.random.programs import random_config, random_program


def drawn(seed: int) -> Program:
    random = np.random.default_rng(seed)
    dim = int(random.choice((2, 3, 4, 5, 8, 16)))
    return random_program(random_config(random, dim, 16 if seed % 3 == 0 else 8), seed)


@pytest.mark.parametrize("seed", range(25))
def test_legal(seed: int) -> None:
    program = drawn(seed)
    result = simulate_timing(program, memory_latency=1 + seed, memory_interval=1 + seed % 3)
    assert 0 < result.cycles < cycle_bound(program, 1 + seed, 1 + seed % 3)


def test_reproducible() -> None:
    assert drawn(3).code == drawn(3).code
    assert np.array_equal(drawn(3).memory, drawn(3).memory)


def test_one_unit_waits_for_a_semaphore() -> None:
    waiters = defaultdict(set)
    for instruction in drawn(1).instructions:
        for k in range(16):
            if instruction["wait"] >> k & 1:
                waiters[k].add(instruction.format.unit)
    assert waiters
    assert all(len(units) == 1 for units in waiters.values())


def test_everything_occurs() -> None:
    instructions = [i for seed in range(30) for i in drawn(seed).instructions]
    counts = Counter(i.op for i in instructions)
    assert set(counts) == set(Opcode)
    assert {i.format.unit for i in instructions} == {*Unit, None}
    stream = [i["flags"] for i in instructions if i.op is Opcode.STREAM]
    assert all(any(flags & flag for flags in stream) for flag in StreamFlag)
    assert any(i["flags"] & WeightFlag.TRANSPOSE for i in instructions if i.op is Opcode.WEIGHT)
    vector = [i for i in instructions if i.op is Opcode.VECTOR]
    assert {i["alu"] for i in vector} == set(Alu)
