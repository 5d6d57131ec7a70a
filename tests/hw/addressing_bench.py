"""AddressGenerator against nested loops in NumPy, word by word, with random gaps."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from typing import Any

import cocotb
import numpy as np

from tests.hw.bench import Bench, pack, parameters, unpack

AXES = ("row", "column")
HALF = 1 << 15


class Nest:
    """A random loop nest, and the outputs that it must give."""

    def __init__(self, generator: random.Random, levels: int, streams: int, window: bool) -> None:
        self.counts = [generator.choice([1, 1, 2, 3, 4]) for _ in range(levels)]
        self.bases = [generator.randrange(1 << 16) for _ in range(streams)]
        self.strides = [
            [generator.choice([0, 1, -1, generator.randrange(-HALF, HALF)]) for _ in self.counts]
            for _ in range(streams)
        ]
        self.window = window
        self.starts = {axis: generator.randrange(-4, 4) for axis in AXES}
        self.steps = {axis: [generator.randrange(-2, 4) for _ in self.counts] for axis in AXES}
        self.limits = {axis: generator.choice([0, 3, 6, 0xFFFF]) for axis in AXES}

    def inputs(self) -> dict[str, int]:
        """Ports of the component, with ``start``."""
        ports = {
            "start": 1,
            "counts": pack(self.counts, 16),
            "bases": pack(self.bases, 16),
            "strides": pack(itertools.chain(*self.strides), 16),
        }
        for axis in AXES if self.window else ():
            ports[f"{axis}_start"] = pack([self.starts[axis]], 16)
            ports[f"{axis}_steps"] = pack(self.steps[axis], 16)
            ports[f"{axis}_limit"] = self.limits[axis]
        return ports

    def words(self) -> Iterator[tuple[list[int], int, int, int]]:
        """Addresses, zero bits, last bits and window test of each word in order."""
        for index in itertools.product(*(range(count) for count in self.counts)):
            place = np.array(index)
            addresses = (np.array(self.bases) + np.array(self.strides) @ place) & 0xFFFF
            zero = pack([i == 0 for i in index], 1)
            last = pack([i == count - 1 for i, count in zip(index, self.counts, strict=True)], 1)
            inside = all(self._inside(axis, place) for axis in AXES)
            yield addresses.tolist(), zero, last, int(inside)

    def _inside(self, axis: str, place: np.ndarray) -> bool:
        position = self.starts[axis] + int(np.dot(self.steps[axis], place))
        return not self.window or 0 <= position < self.limits[axis]


OUTPUTS = ("active", "addresses", "zero", "last", "done", "inside")


@cocotb.test()
async def nests(dut: Any) -> None:
    """Nests one after another, some starting in the cycle of the last step of the one before."""
    levels, streams = parameters()["levels"], parameters()["streams"]
    generator = random.Random(parameters()["seed"])
    bench = Bench(dut)
    await bench.start()
    nest: Nest | None = None
    for _ in range(40):
        following = Nest(generator, levels, streams, bool(parameters()["window"]))
        overlap = nest is not None and generator.randrange(2)
        if nest is not None:
            await check(bench, generator, nest, following if overlap else None)
        if not overlap:
            got = await bench.cycle(following.inputs(), ["active"])
            assert got["active"] == 0
        nest = following


async def check(bench: Bench, generator: random.Random, nest: Nest, following: Nest | None) -> None:
    """Step through a nest; with ``following``, start it in the cycle of the last step."""
    words = list(nest.words())
    for number, (addresses, zero, last, inside) in enumerate(words):
        final = number == len(words) - 1
        for _ in range(generator.choice([0, 0, 1, 2])):
            await expect(bench, {}, addresses, zero, last, inside)
        inputs = following.inputs() if final and following is not None else {}
        await expect(bench, {**inputs, "step": 1}, addresses, zero, last, inside)


async def expect(
    bench: Bench, inputs: dict[str, int], addresses: list[int], zero: int, last: int, inside: int
) -> None:
    """One cycle in which the current word must be this one."""
    got = await bench.cycle(inputs, OUTPUTS)
    assert got["active"] == 1
    assert unpack(got["addresses"], 16, len(addresses), signed=False) == addresses
    levels = parameters()["levels"]
    done = int(last == (1 << levels) - 1)
    assert (got["zero"], got["last"], got["done"], got["inside"]) == (zero, last, done, inside)
