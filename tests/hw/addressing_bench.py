"""AddressGenerator against nested loops in NumPy, word by word, with random gaps."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator, Sequence
from typing import Any

import cocotb
import numpy as np

from tests.hw.bench import Bench, pack, parameters, unpack

AXES = ("row", "column")
HALF = 1 << 15


class Nest:
    """A random loop nest, and the outputs that it must give."""

    def __init__(
        self,
        generator: random.Random,
        levels: int,
        streams: int,
        window: bool,
        counts: Sequence[int] = (1, 1, 2, 3, 4),
    ) -> None:
        self.counts = [generator.choice(counts) for _ in range(levels)]
        self.bases = [generator.randrange(1 << 16) for _ in range(streams)]
        self.strides = [
            [generator.choice([0, 1, -1, generator.randrange(-HALF, HALF)]) for _ in self.counts]
            for _ in range(streams)
        ]
        self.window = window
        self.starts, self.steps, self.limits = {}, {}, {}
        for axis in AXES:
            near = bool(generator.randrange(2))
            starts, steps = (range(-4, 4), range(-2, 4)) if near else (range(-HALF, HALF),) * 2
            self.starts[axis] = generator.choice(starts)
            self.steps[axis] = [generator.choice(steps) for _ in self.counts]
            edge = generator.choice([*self._positions(axis), generator.randrange(HALF)])
            far = [max(0, edge) + generator.randrange(2), 0xFFFF]
            self.limits[axis] = generator.choice([0, 3, 6, 0xFFFF] if near else far)

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

    def words(self, first: int = 0) -> Iterator[tuple[list[int], int, int, int]]:
        """Addresses, zero bits, last bits and window test of each word in order."""
        indices = itertools.product(*(range(count) for count in self.counts))
        for index in itertools.islice(indices, first, None):
            place = np.array(index)
            addresses = (np.array(self.bases) + np.array(self.strides) @ place) & 0xFFFF
            zero = pack([i == 0 for i in index], 1)
            last = pack([i == count - 1 for i, count in zip(index, self.counts, strict=True)], 1)
            inside = all(self._inside(axis, place) for axis in AXES)
            yield addresses.tolist(), zero, last, int(inside)

    def _inside(self, axis: str, place: np.ndarray) -> bool:
        return not self.window or 0 <= self._position(axis, place) < self.limits[axis]

    def _position(self, axis: str, place: np.ndarray) -> int:
        """It wraps in 16 bits."""
        position = self.starts[axis] + int(np.dot(self.steps[axis], place))
        return (position + HALF) % (1 << 16) - HALF

    def _positions(self, axis: str) -> list[int]:
        """Of the first words."""
        indices = itertools.product(*(range(count) for count in self.counts))
        return [self._position(axis, np.array(i)) for i in itertools.islice(indices, 30)]


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


@cocotb.test()
async def large_counts(dut: Any) -> None:
    """Loops with far too many words to see the end of: the first, then ``clear`` or a reset."""
    levels, streams = parameters()["levels"], parameters()["streams"]
    generator = random.Random(parameters()["seed"])
    bench = Bench(dut)
    await bench.start()
    for number in range(30):
        power = 2 << number % 15
        counts = [1, 2, power, power + 1, power + 1, power + 2]
        nest = Nest(generator, levels, streams, bool(parameters()["window"]), counts)
        await bench.cycle(nest.inputs(), ["active"])
        for addresses, zero, last, inside in itertools.islice(nest.words(), 12):
            await expect(bench, {"step": 1}, addresses, zero, last, inside)
        await (bench.reset() if number % 2 else bench.cycle({"clear": 1}))
        assert (await bench.cycle({}, ["active"]))["active"] == 0


@cocotb.test()
async def long_loops(dut: Any) -> None:
    """Each loop alone for thousands of iterations, and twice: its last words, after a pause."""
    levels, streams = parameters()["levels"], parameters()["streams"]
    generator = random.Random(parameters()["seed"])
    bench = Bench(dut)
    await bench.start()
    for level, outer in itertools.product(range(levels), (1, 2)):
        nest = Nest(generator, levels, streams, bool(parameters()["window"]), [1])
        most = (1 << 14, 1 << 10)[outer - 1]
        # Odd, so that a count that changes every other cycle is another one at the end.
        nest.counts[level] = most - generator.randrange(1, most // 16, 2)
        if level:
            nest.counts[level - 1] = outer
        words = math.prod(nest.counts)
        await bench.cycle(nest.inputs())
        await bench.skip(words - 3, {"step": 1})
        await bench.skip(1, {})
        for addresses, zero, last, inside in nest.words(words - 3):
            await expect(bench, {"step": 1}, addresses, zero, last, inside)
        assert (await bench.cycle({}, ["active"]))["active"] == 0


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
