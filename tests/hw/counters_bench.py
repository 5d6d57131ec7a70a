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


def count(counts: dict[str, int], unit: Unit, flags: dict[str, int], missing: int) -> None:
    """Add one cycle of a unit."""
    state = state_of(flags)
    counts[f"{unit.name.lower()}_{state}"] += 1
    if state == "wait" and missing:
        lowest = (missing & -missing).bit_length() - 1
        counts[f"semaphore_{lowest}_wait"] += 1


def one_cycle(generator: random.Random, counts: dict[str, int]) -> dict[str, int]:
    """Random inputs, added to the counts where the machine runs."""
    running = generator.randrange(8) > 0
    units = [{name: generator.randrange(2) for name in FLAGS} for _ in Unit]
    # Each unit waits for semaphores of its own.
    missing = [generator.choice([0, 1, 2, 4, 5, 6, 7]) << 3 * unit for unit in Unit]
    for unit in Unit:
        flags = units[unit]
        if flags["start"]:
            missing[unit] = 0
        if running:
            count(counts, unit, flags, missing[unit])
    fetch = generator.choice(FETCH_STATES)
    beats = {name: generator.randrange(2) for name in ("read_beat", "write_beat")}
    if running:
        counts["cycles"] += 1
        counts[f"fetch_{fetch}"] += 1
        for name, value in beats.items():
            counts[f"{name}s"] += value
    return {
        **{name: pack([flags[name] for flags in units], 1) for name in FLAGS},
        **beats,
        "running": running,
        "missing": pack(missing, SEMAPHORES),
        "fetch": 1 << FETCH_STATES.index(fetch),
    }


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
    for length in (300, 3, 75, 300):
        await bench.cycle({"clear": 1})
        expected = dict.fromkeys(COUNTERS, 0)
        for _ in range(length):
            await bench.cycle(one_cycle(generator, expected))
        named = dict.fromkeys(COUNTERS, 0)
        for _ in range(2):  # all of what was counted is in the words after a round
            order = generator.sample(range(len(COUNTERS)), len(COUNTERS))
            for number in order:
                await bench.cycle({"number": number})
                named[COUNTERS[number]] = await read(bench, {}, number)
        assert named == expected
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
