"""The memory primitive: emitted Verilog on both simulators, and its body in Amaranth's own."""

from __future__ import annotations

import random

import pytest
from amaranth.sim import Simulator, SimulatorContext

from pulsarray.hw.blocks.memory import Memory1R1W
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
