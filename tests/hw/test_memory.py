"""The memory primitive: emitted Verilog on both simulators, and its body in Amaranth's own."""

from __future__ import annotations

import random
from collections import deque

import pytest
from amaranth.sim import Simulator, SimulatorContext

from pulsarray.hw.blocks.memory import Memory1R1W
from pulsarray.hw.blocks.prefetch import PrefetchFifo
from tests.hw.harness import run_bench


@pytest.mark.parametrize(("bits", "depth"), [(8, 2), (40, 13)])
def test_random_traffic(simulator: str, bits: int, depth: int) -> None:
    parameters = {"bits": bits, "depth": depth, "seed": bits}
    run_bench(Memory1R1W(bits, depth), "memory_bench", simulator, parameters)


def test_body_agrees() -> None:
    """The Amaranth description behaves as the hand-written Verilog does in its bench."""
    dut, generator, rows = Memory1R1W(8, 5), random.Random(1), [0] * 5

    async def traffic(context: SimulatorContext) -> None:
        held = 0
        for _ in range(300):
            write, read = generator.randrange(2), generator.randrange(2)
            address, data = generator.randrange(5), generator.randrange(256)
            other = generator.choice([address, generator.randrange(5)])
            context.set(dut.write_enable, write)
            context.set(dut.write_address, address)
            context.set(dut.write_data, data)
            context.set(dut.read_enable, read)
            context.set(dut.read_address, other)
            assert context.get(dut.read_data) == held
            held = rows[other] if read else held
            rows[address] = data if write else rows[address]
            await context.tick()

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(traffic)
    simulator.run()


@pytest.mark.parametrize("depth", [2, 3, 8])
def test_prefetch(depth: int) -> None:
    """Words in order, each seen two cycles after it entered or as soon as the one before left."""
    dut, generator = PrefetchFifo(16, depth, blocks=True), random.Random(depth)
    kept: deque[tuple[int, int]] = deque()  # words, and the first cycle in which each may be seen

    async def traffic(context: SimulatorContext) -> None:
        for cycle in range(1500):
            pace = (0.2, 0.5, 1.0)[cycle // 100 % 3]
            is_seen = bool(kept) and kept[0][1] <= cycle
            assert context.get(dut.valid) == is_seen, cycle
            assert not is_seen or context.get(dut.head) == kept[0][0], cycle
            pop = is_seen and generator.random() < pace
            push = len(kept) < depth and generator.random() < 0.7
            clear, word = cycle % 400 == 399, generator.getrandbits(16)
            for port, value in (("push", push), ("entering", word), ("pop", pop), ("clear", clear)):
                context.set(getattr(dut, port), value)
            await context.tick()
            if pop:
                kept.popleft()
            if push:
                kept.append((word, cycle + 2))
            if clear:
                kept.clear()

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(traffic)
    simulator.run()
