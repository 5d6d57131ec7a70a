"""The semaphores: counts of up to 255, from every unit at once."""

from __future__ import annotations

import random
from typing import Any

import cocotb

from pulsarray.config import SEMAPHORE_MAX, SEMAPHORES
from tests.hw.bench import Bench, pack, parameters

OUTPUTS = ("available", "error")


class Counts:
    """What every semaphore counts."""

    def __init__(self, units: int) -> None:
        self.units = units
        self.counts = [0] * SEMAPHORES

    def cycle(self, take: list[int], signal: list[int]) -> tuple[dict[str, int], dict[str, int]]:
        """Inputs and expected outputs of a cycle with these masks, one a unit."""
        expected = {"available": pack([count > 0 for count in self.counts], 1), "error": 0}
        for number in range(SEMAPHORES):
            takes = sum(t >> number & 1 for t in take)
            self.counts[number] += sum(s >> number & 1 for s in signal) - takes
            if takes > 1 or not 0 <= self.counts[number] <= SEMAPHORE_MAX:
                for unit in range(self.units):
                    involved = (take[unit] | signal[unit]) >> number & 1
                    expected["error"] |= involved << unit
        inputs = {"take": pack(take, SEMAPHORES), "signal": pack(signal, SEMAPHORES)}
        return inputs, expected


@cocotb.test()
async def counts(dut: Any) -> None:
    """Random walks up to the largest count and down to nothing, and beyond both; every count
    that is left is taken one by one.
    """
    generator, units = random.Random(parameters()["seed"]), parameters()["units"]
    bench = Bench(dut)
    await bench.start()
    errors = 0
    for rising in (3, 8, 4, 9):
        await bench.cycle({"clear": 1})
        model = Counts(units)
        for _ in range(250):
            take, signal = [0] * units, [0] * units
            for number in range(SEMAPHORES):
                taker = generator.randrange(units)
                for unit in range(units):
                    rare = generator.randrange(60) == 0
                    may = unit == taker and model.counts[number] > 0
                    if (may or rare) and generator.randrange(10) >= rising:
                        take[unit] |= 1 << number
                    low = model.counts[number] < SEMAPHORE_MAX - units
                    if (low or rare) and generator.randrange(10) < rising:
                        signal[unit] |= 1 << number
            inputs, expected = model.cycle(take, signal)
            got = await bench.cycle(inputs, OUTPUTS)
            assert got == expected
            if expected["error"]:
                errors += 1
                await bench.cycle({"clear": 1})
                model = Counts(units)
        while any(model.counts):
            take = pack([count > 0 for count in model.counts], 1)
            inputs, expected = model.cycle([take, *[0] * (units - 1)], [0] * units)
            assert await bench.cycle(inputs, OUTPUTS) == expected
        inputs, expected = model.cycle([0] * units, [0] * units)
        assert await bench.cycle(inputs, OUTPUTS) == expected
    assert errors


@cocotb.test()
async def limits(dut: Any) -> None:
    """255 is allowed, and one more with one taken; 256 is not, of any semaphore."""
    bench, every = Bench(dut), (1 << SEMAPHORES) - 1
    await bench.start()
    for _ in range(SEMAPHORE_MAX):
        got = await bench.cycle({"signal": every}, OUTPUTS)
        assert got["error"] == 0
    got = await bench.cycle({"signal": every, "take": every << SEMAPHORES}, OUTPUTS)
    assert (got["error"], got["available"]) == (0, every)
    for number in range(SEMAPHORES):
        got = await bench.cycle({"signal": 1 << number}, OUTPUTS)
        assert got["error"] == 1
