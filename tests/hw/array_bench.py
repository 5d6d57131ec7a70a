"""Array against NumPy: every word, every cycle, tiles as close together as the contract allows."""

from __future__ import annotations

import random
from typing import Any

import cocotb
import numpy as np
from numpy.typing import NDArray

from tests.hw.bench import Bench, pack, parameters, unpack

Matrix = NDArray[np.int64]


class Schedule:
    """Inputs by cycle, and the sums that must leave by cycle.

    A pass begins in face cycle ``first``; the rows of its tile enter in the D cycles that end the
    cycle before, or earlier, but never before the pass before has begun.
    """

    def __init__(self, generator: random.Random, dim: int, bits: int, psum_bits: int) -> None:
        self.generator = generator
        self.dim, self.bits, self.psum_bits = dim, bits, psum_bits
        self.inputs: dict[int, dict[str, int]] = {}
        self.sums: dict[int, list[int]] = {}

    def matrix(self, rows: int) -> Matrix:
        """Random operands, extremes often among them."""
        low, high = -(1 << (self.bits - 1)), (1 << (self.bits - 1)) - 1
        choice = self.generator.choice
        values = [
            choice([low, high, self.generator.randint(low, high)]) for _ in range(rows * self.dim)
        ]
        return np.array(values, dtype=np.int64).reshape(rows, self.dim)

    def tile(self, start: int) -> Matrix:
        """Rows of a new tile on the top face, from cycle ``start`` on."""
        tile = self.matrix(self.dim)
        for row in range(self.dim):
            face = {"w": pack(tile[row], self.bits), "w_row": row, "w_valid": 1}
            self.inputs.setdefault(start + row, {}).update(face)
        return tile

    def words(self, first: int, count: int, tile: Matrix, swap: bool, gaps: bool) -> int:
        """A pass on the left face; the cycle after its last word."""
        cycle = first
        for number, word in enumerate(self.matrix(count)):
            cycle += self.generator.choice([0, 0, 1, 3]) if gaps and number else 0
            face = {"x": pack(word, self.bits), "x_valid": 1, "x_first": int(swap and not number)}
            self.inputs.setdefault(cycle, {}).update(face)
            half = 1 << (self.psum_bits - 1)
            exact = (word @ tile + half) % (2 * half) - half
            self.sums[cycle + 2 * self.dim + 1] = exact.tolist()
            cycle += 1
        return cycle


def random_schedule(generator: random.Random, dim: int, bits: int, psum_bits: int) -> Schedule:
    """Passes of every length and spacing: exactly D apart, longer, with and without a new tile."""
    schedule = Schedule(generator, dim, bits, psum_bits)
    began, free = 0, 0
    tile = schedule.matrix(dim)
    for number in range(12):
        swap = number == 0 or generator.randrange(4) > 0
        first = free + generator.choice([0, 0, 2])
        if swap:
            start = began + generator.choice([0, 0, 1, dim])
            tile = schedule.tile(start)
            first = max(first, start + dim)
        count = generator.choice([1, dim, dim, 2 * dim + 1])
        free = schedule.words(first, count, tile, swap, gaps=generator.randrange(3) == 0)
        began = first if swap else began
    return schedule


@cocotb.test()
async def passes(dut: Any) -> None:
    """The sums of every word leave 2D + 1 cycles after it entered, and nothing else does."""
    dim, bits, psum_bits = (parameters()[name] for name in ("dim", "operand_bits", "psum_bits"))
    generator = random.Random(parameters()["seed"])
    bench = Bench(dut)
    await bench.start()
    for _ in range(6):
        schedule = random_schedule(generator, dim, bits, psum_bits)
        for cycle in range(max(schedule.sums) + 4):
            got = await bench.cycle(noisy(generator, schedule, cycle), ["y", "y_valid"])
            assert got["y_valid"] == (cycle in schedule.sums), f"cycle {cycle}"
            if got["y_valid"]:
                assert unpack(got["y"], psum_bits, dim) == schedule.sums[cycle], f"cycle {cycle}"


def noisy(generator: random.Random, schedule: Schedule, cycle: int) -> dict[str, int]:
    """The inputs of a cycle; whatever is not valid is noise."""
    width = schedule.dim * schedule.bits
    noise = {
        "x": generator.getrandbits(width),
        "x_first": 1,
        "w": generator.getrandbits(width),
        "w_row": generator.randrange(schedule.dim),
    }
    driven = schedule.inputs.get(cycle, {})
    return {**noise, **driven}


@cocotb.test()
async def clear_forgets(dut: Any) -> None:
    """Words on their way when ``clear`` is given never leave; the next ones do."""
    dim = parameters()["dim"]
    bench = Bench(dut)
    await bench.start()
    await bench.cycle({"x_valid": 1})
    await bench.cycle({"clear": 1})
    await bench.cycle({"x_valid": 1})
    leaving = [(await bench.cycle({}, ["y_valid"]))["y_valid"] for _ in range(2 * dim + 4)]
    assert leaving.index(1) == 2 * dim
    assert sum(leaving) == 1
