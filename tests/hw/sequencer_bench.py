"""The sequencer of a unit against the rules for queue, IR and start."""

from __future__ import annotations

import random
from collections import deque
from typing import Any

import cocotb

from pulsarray.config import SEMAPHORES
from pulsarray.hw.blocks.ports import INDEX_BITS
from tests.hw.bench import Bench, parameters

OUTPUTS = (
    *("room", "start", "instruction", "index", "take", "occupied", "missing"),
    *("pop", "empty"),
)


class Sequence:
    """FETCH, the semaphores and the unit, and what the sequencer must do in each cycle."""

    def __init__(self, generator: random.Random, sizes: dict[str, int], pace: float) -> None:
        self.generator, self.pace = generator, pace
        self.wait, self.depth = sizes["wait"], sizes["depth"]
        parts = [bits for number in range(3) if (bits := sizes[f"part{number}"])]
        self.bits = sum(parts)
        self.places = [(sum(parts[:number]), bits) for number, bits in enumerate(parts)]
        self.shown = 0  # part of the next instruction that comes next
        self.gathering = self.entry()
        self.queue: deque[tuple[int, int]] = deque()
        self.holds: tuple[int, int] | None = None  # IR: instruction and index

    def chance(self) -> bool:
        """Whether something that may happen happens now."""
        return self.generator.random() < self.pace

    def entry(self) -> tuple[int, int]:
        """An instruction of noise, that waits for two semaphores at most, and an index."""
        noise = self.generator.getrandbits(self.bits) & ~(0xFFFF << self.wait)
        waits = [1 << self.generator.randrange(SEMAPHORES) for _ in range(2)]
        waiting = self.generator.choice([0, waits[0], waits[0] | waits[1]]) << self.wait
        return noise | waiting, self.generator.getrandbits(INDEX_BITS)

    def cycle(self, halt: bool) -> tuple[dict[str, int], dict[str, int]]:
        """Inputs and expected outputs of a cycle."""
        level, holds = len(self.queue), self.holds
        ready = self.chance()
        available = self.generator.getrandbits(SEMAPHORES) | self.generator.getrandbits(SEMAPHORES)
        expected: dict[str, int] = {
            "room": level < self.depth,
            "occupied": holds is not None,
            "empty": not level and holds is None,
        }
        start = False
        if holds is not None:
            missing = holds[0] >> self.wait & 0xFFFF & ~available
            start = ready and not missing and not halt
            expected |= {"missing": missing, "instruction": holds[0], "index": holds[1]}
            expected["take"] = holds[0] >> self.wait & 0xFFFF if start else 0
        pop = level > 0 and (holds is None or start)
        expected |= {"start": start, "pop": pop}
        if pop:
            self.holds = self.queue.popleft()
        elif start:
            self.holds = None
        inputs = {"ready": ready, "available": available, "halt": halt}
        return inputs | self._gather(level), expected

    def _gather(self, level: int) -> dict[str, int]:
        """What FETCH shows: a part of the next instruction beside noise, or none; with the last
        part, which it may show again, the instruction is pushed when there is room. The index
        is shown with part 0.
        """
        sizes = {"part": self.bits, "part_index": INDEX_BITS}
        inputs = {name: self.generator.getrandbits(bits) for name, bits in sizes.items()}
        if not self.chance():
            return inputs
        place, (first, bits) = self.shown, self.places[self.shown]
        instruction, index = self.gathering
        part = instruction >> first & (1 << bits) - 1
        noise = inputs["part"] & ~((1 << bits) - 1 << first)
        inputs |= {"write": 1 << place, "part": noise | part << first}
        inputs |= {} if place else {"part_index": index}
        if place + 1 < len(self.places):
            self.shown += 1
        elif level < self.depth and self.chance():
            inputs["push"] = 1
            self.queue.append(self.gathering)
            self.shown, self.gathering = 0, self.entry()
        return inputs


@cocotb.test()
async def sequences(dut: Any) -> None:
    """Random traffic, full and empty queues, a halt, and a clear with the queue full."""
    generator = random.Random(parameters()["seed"])
    bench = Bench(dut)
    await bench.start()
    for pace in (1.0, 0.9, 0.5, 0.2):
        model = Sequence(generator, parameters(), pace)
        for number in range(300):
            inputs, expected = model.cycle(halt=200 <= number < 240 or number >= 280)
            got = await bench.cycle(inputs, OUTPUTS)
            for name, value in expected.items():
                text = f"cycle {number}: {name} is {got[name]:x}, not {int(value):x}"
                assert got[name] == value, text
        await bench.cycle({"clear": 1, "halt": 1})
