"""cocotb bench of ``memory.v``: random traffic, every beat and response in its exact cycle."""

from __future__ import annotations

import random
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge

SIZE = 1 << 14


class Bus:
    """Drives the memory and notes what it shows, from falling edge to falling edge."""

    def __init__(self, dut: Any) -> None:
        self.dut = dut
        self.cycle = 0
        self.bytes = len(dut.wdata) // 8
        self.beats: list[tuple[int, int, int]] = []
        self.responses: list[tuple[int, int]] = []

    async def begin(self, latency: int, interval: int) -> None:
        """Reset and set the timing."""
        dut = self.dut
        for name in ("load", "dump", "awvalid", "wvalid", "arvalid", "awid", "arid", "job"):
            getattr(dut, name).value = 0
        dut.latency.value, dut.interval.value, dut.size.value = latency, interval, SIZE
        dut.rready.value = dut.bready.value = dut.rst.value = 1
        Clock(dut.clk, 2, "ns", impl="gpi").start()
        await self.step()
        await self.step()
        dut.rst.value = 0

    async def step(self) -> None:
        """One cycle."""
        await FallingEdge(self.dut.clk)
        self.cycle += 1
        if self.dut.rvalid.value == 1:
            data = int(self.dut.rdata.value)
            self.beats.append((self.cycle, data, int(self.dut.rresp.value)))
        if self.dut.bvalid.value == 1:
            self.responses.append((self.cycle, int(self.dut.bresp.value)))

    async def write(self, address: int, data: list[int], gaps: list[int]) -> tuple[int, list[int]]:
        """One burst; gives the cycles of its address and of its beats."""
        dut = self.dut
        dut.awvalid.value, dut.awaddr.value, dut.awlen.value = 1, address, len(data) - 1
        at = self.cycle
        await self.step()
        dut.awvalid.value = 0
        cycles = []
        for i, (beat, gap) in enumerate(zip(data, gaps, strict=True)):
            for _ in range(gap):
                await self.step()
            dut.wvalid.value, dut.wdata.value = 1, beat
            dut.wstrb.value, dut.wlast.value = (1 << self.bytes) - 1, i == len(data) - 1
            cycles.append(self.cycle)
            await self.step()
            dut.wvalid.value = 0
        return at, cycles

    async def read(self, address: int, beats: int) -> int:
        """One burst; gives the cycle of its address."""
        dut = self.dut
        dut.arvalid.value, dut.araddr.value, dut.arlen.value = 1, address, beats - 1
        at = self.cycle
        await self.step()
        dut.arvalid.value = 0
        return at


@cocotb.test()
@cocotb.parametrize(latency=[1, 2, 17], interval=[1, 3])
async def timing_and_values(dut: Any, latency: int, interval: int) -> None:
    """Bursts of writes, then reads of the same words, against the specification."""
    rng = random.Random(f"{latency} {interval}")
    bus = Bus(dut)
    await bus.begin(latency, interval)
    bursts, ends, end, b_last = [], [], 0, 0
    for index in range(12):
        count = rng.randint(1, 9)
        data = [rng.getrandbits(8 * bus.bytes) for _ in range(count)]
        address = index * 16 * bus.bytes
        at, w = await bus.write(address, data, [rng.choice((0, 0, 0, 2, 9)) for _ in data])
        begin = max(end, w[0])
        end = max(begin + count * interval, w[-1] + 1)
        b_last = max(end, at + latency, b_last + 1)
        ends.append((b_last, 0))
        bursts.append((address, data))
    last, expected = -interval, []
    for _ in range(30):
        address, data = rng.choice(bursts)
        at = await bus.read(address, len(data))
        first = max(at + latency, last + interval)
        expected += [(first + i * interval, beat, 0) for i, beat in enumerate(data)]
        last = first + (len(data) - 1) * interval
        for _ in range(rng.choice((0, 0, 1, 30))):
            await bus.step()
    while bus.cycle < max(last, b_last) + 5:
        await bus.step()
    assert bus.beats == expected
    assert bus.responses == ends


@cocotb.test()
async def beyond_the_end(dut: Any) -> None:
    """Reads and writes from ``size`` on answer DECERR; a read gives zeros."""
    bus = Bus(dut)
    await bus.begin(4, 1)
    await bus.write(SIZE - bus.bytes, [5], [0])
    await bus.write(SIZE, [7], [0])
    await bus.read(SIZE - bus.bytes, 2)
    for _ in range(20):
        await bus.step()
    assert [code for _, code in bus.responses] == [0, 3]
    assert [(data, code) for _, data, code in bus.beats] == [(5, 0), (0, 3)]


@cocotb.test()
async def strobes(dut: Any) -> None:
    """Only strobed bytes are written."""
    bus = Bus(dut)
    await bus.begin(1, 1)
    mask = (1 << 8 * bus.bytes) - 1
    await bus.write(0, [mask], [0])
    dut.awvalid.value, dut.awaddr.value, dut.awlen.value = 1, 0, 0
    await bus.step()
    dut.awvalid.value = 0
    dut.wvalid.value, dut.wdata.value, dut.wstrb.value, dut.wlast.value = 1, 0, 1, 1
    await bus.step()
    dut.wvalid.value = 0
    await bus.read(0, 1)
    for _ in range(5):
        await bus.step()
    assert [data for _, data, _ in bus.beats] == [mask & ~0xFF]
