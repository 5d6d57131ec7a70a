"""The performance counters against the rules of the first state that applies."""

from __future__ import annotations

import random
from typing import Any

import cocotb

from pulsarray.config import SEMAPHORES
from pulsarray.isa import Unit
from pulsarray.registers import COUNTERS, FETCH_STATES, UNIT_STATES
from tests.hw.bench import Bench, pack, parameters

FLAGS = ("active", "stall", "occupied", "start", "busy")


def state_of(flags: dict[str, int]) -> str:
    """What a unit does (docs/machine.md, section 8)."""
    if flags["active"]:
        return "stall" if flags["stall"] else "busy"
    if flags["occupied"]:
        return "start" if flags["start"] else "wait"
    return "drain" if flags["busy"] else "idle"


class Machine:
    """What everybody does in a cycle, and the counts that follow from it.

    Each unit waits for semaphores of its own.
    """

    def __init__(self, generator: random.Random) -> None:
        self.generator = generator
        self.counts = dict.fromkeys(COUNTERS, 0)
        self.waiters = [generator.choice(list(Unit)) for _ in range(SEMAPHORES)]

    def cycle(self, running: bool, cycles: int = 1) -> dict[str, int]:
        """Random inputs that stay for some cycles, counted where the machine runs."""
        generator = self.generator
        units = [{name: generator.randrange(2) for name in FLAGS} for _ in Unit]
        missing = [0] * len(Unit)
        for semaphore, unit in enumerate(self.waiters):
            if not units[unit]["start"]:
                missing[unit] |= (generator.randrange(3) == 0) << semaphore
        fetch = generator.choice(FETCH_STATES)
        beats = {name: generator.randrange(2) for name in ("read_beat", "write_beat")}
        if running:
            names = ["cycles", f"fetch_{fetch}", *(f"{name}s" for name in beats if beats[name])]
            for unit in Unit:
                names += counted(unit, units[unit], missing[unit])
            for name in names:
                self.counts[name] += cycles
        return {
            **{name: pack([flags[name] for flags in units], 1) for name in FLAGS},
            **beats,
            "running": int(running),
            "missing": pack(missing, SEMAPHORES),
            "fetch": 1 << FETCH_STATES.index(fetch),
        }


def counted(unit: Unit, flags: dict[str, int], missing: int) -> list[str]:
    """The counters that count a cycle of a unit."""
    state = state_of(flags)
    names = [f"{unit.name.lower()}_{state}"]
    if state == "wait" and missing:
        lowest = (missing & -missing).bit_length() - 1
        names.append(f"semaphore_{lowest}_wait")
    return names


async def read(bench: Bench, inputs: dict[str, int], number: int) -> int:
    """A counter in its turn, which comes within a round; a clear begins a new one."""
    for _ in range(2 * len(COUNTERS)):
        got = await bench.cycle({**inputs, "number": number}, ["valid", "value"])
        if got["valid"]:
            return got["value"]
    raise AssertionError(f"{COUNTERS[number]} has no turn")


@cocotb.test()
async def counts(dut: Any) -> None:
    """Random cycles; each unit's states add up to the cycles, and a clear forgets all."""
    generator = random.Random(parameters()["seed"])
    bench = Bench(dut)
    await bench.start()
    for length in (300, 3, 75, 75, 75, 300):
        await bench.cycle({"clear": 1})
        model = Machine(generator)
        for _ in range(length):
            await bench.cycle(model.cycle(generator.randrange(8) > 0))
        for _ in range(10):
            few = generator.randrange(1, 50)
            await bench.skip(few, model.cycle(True, few))
        await compare(bench, model)
        for number in generator.sample(range(len(COUNTERS)), 5):
            await bench.cycle({"number": number})
            assert await read(bench, {}, number) == model.counts[COUNTERS[number]]


@cocotb.test()
async def large_counts(dut: Any) -> None:
    """Thousands of cycles that are all alike, twice."""
    generator = random.Random(parameters()["seed"])
    bench, model = Bench(dut), Machine(generator)
    await bench.start()
    await bench.cycle({"clear": 1})
    for cycles in (5461, 2901):
        await bench.skip(cycles, model.cycle(True, cycles))
    await compare(bench, model)


async def compare(bench: Bench, model: Machine) -> None:
    """Every counter, when all of what was counted is in the words, after two rounds."""
    await bench.skip(2 * len(COUNTERS), {})
    named = {name: await read(bench, {}, number) for number, name in enumerate(COUNTERS)}
    assert named == model.counts
    for unit in Unit:
        states = [named[f"{unit.name.lower()}_{state}"] for state in UNIT_STATES]
        assert sum(states) == named["cycles"]


@cocotb.test()
async def busy_all_the_time(dut: Any) -> None:
    """A counter that counts in every cycle loses none while it is brought up to date."""
    bench = Bench(dut)
    await bench.start()
    await bench.cycle({"clear": 1})
    always = {"running": 1, "read_beat": 1}
    first = await read(bench, always, COUNTERS.index("read_beats"))
    passed = bench.now
    for _ in range(20):
        await bench.cycle({**always, "number": 0})
        later = await read(bench, always, COUNTERS.index("read_beats"))
        assert later - first == bench.now - passed
