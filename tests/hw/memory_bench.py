"""Memory1R1W against a list, with random gaps and every coincidence of addresses."""

from __future__ import annotations

import random
from typing import Any

import cocotb

from tests.hw.bench import Bench, parameters


@cocotb.test()
async def random_traffic(dut: Any) -> None:
    """Each read gives the word before this cycle's write, and stays until the next read."""
    bits, depth = parameters()["bits"], parameters()["depth"]
    generator = random.Random(parameters()["seed"])
    bench, rows, held = Bench(dut), [0] * depth, 0
    await bench.start()
    for _ in range(600):
        inputs = {
            "write_enable": generator.randrange(2),
            "write_address": generator.randrange(depth),
            "write_data": generator.getrandbits(bits),
            "read_enable": generator.randrange(2),
            "read_address": generator.randrange(depth),
        }
        if generator.randrange(3) == 0:
            inputs["read_address"] = inputs["write_address"]
        got = await bench.cycle(inputs, ["read_data"])
        assert got["read_data"] == held, f"cycle {bench.now - 1}"
        if inputs["read_enable"]:
            held = rows[inputs["read_address"]]
        if inputs["write_enable"]:
            rows[inputs["write_address"]] = inputs["write_data"]
