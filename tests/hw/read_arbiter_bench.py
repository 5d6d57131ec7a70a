"""The read arbiter: who is granted a burst and when, and whose the beats are."""

from __future__ import annotations

import random
from collections import deque
from typing import Any

import cocotb

from tests.hw.bench import Bench, machine, parameters

OUTPUTS = (
    *("fetch_grant", "load_grant", "fetch_valid", "load_valid", "idle"),
    *("axi__arvalid", "axi__araddr", "axi__arlen", "axi__arsize", "axi__arburst", "axi__rready"),
)


class Requests:
    """Requests, the bus, and what the arbiter must do in each cycle."""

    def __init__(self, generator: random.Random, outstanding: int) -> None:
        self.generator, self.outstanding = generator, outstanding
        self.wants = {"fetch": self.burst(), "load": self.burst()}
        self.address: tuple[int, int] | None = None  # on the bus
        self.owners: deque[tuple[str, int]] = deque()  # granted, last beat not yet come
        self.accepted = 0  # bursts of these whose address the bus has taken

    def burst(self) -> tuple[int, int]:
        """Address and beats."""
        return self.generator.randrange(1 << 32), self.generator.randint(1, 6)

    def cycle(self, pace: float, halt: bool) -> tuple[dict[str, int], dict[str, int]]:
        """Inputs and expected outputs of a cycle."""
        chance = self.generator.random
        inputs: dict[str, int] = {"axi__arready": chance() < pace, "halt": halt}
        expected: dict[str, int] = {
            "idle": not self.owners and self.address is None,
            "axi__arvalid": self.address is not None,
            "axi__rready": 1,
            "axi__arburst": 1,
        }
        free = self.address is None or inputs["axi__arready"]
        can = free and len(self.owners) < self.outstanding and not halt
        if self.address is not None:
            expected |= {"axi__araddr": self.address[0], "axi__arlen": self.address[1] - 1}
        inputs |= self._beat(expected, chance() < pace)
        if self.address is not None and inputs["axi__arready"]:
            self.address = None
            self.accepted += 1
        for who in ("fetch", "load"):
            wants = chance() < 0.6
            inputs[f"{who}_want"] = wants
            inputs[f"{who}_address"], inputs[f"{who}_beats"] = self.wants[who]
            expected[f"{who}_grant"] = can and wants
            if can and wants:
                self.address = self.wants[who]
                self.owners.append((who, self.address[1]))
                self.wants[who] = self.burst()
                can = False
        return inputs, expected

    def _beat(self, expected: dict[str, int], comes: bool) -> dict[str, int]:
        if not (self.accepted and comes):
            expected |= {"fetch_valid": 0, "load_valid": 0}
            return {"axi__rlast": self.generator.randrange(2)}
        who, beats = self.owners.popleft()
        expected |= {"fetch_valid": who == "fetch", "load_valid": who == "load"}
        if beats > 1:
            self.owners.appendleft((who, beats - 1))
        self.accepted -= beats == 1
        return {"axi__rvalid": 1, "axi__rlast": beats == 1}


@cocotb.test()
async def requests(dut: Any) -> None:
    """Random requests on a fast and on a slow bus, and no grant while halted."""
    config, generator = machine(), random.Random(parameters()["seed"])
    bench = Bench(dut)
    await bench.start()
    model = Requests(generator, config.outstanding)
    size = config.bus_bytes.bit_length() - 1
    for pace in (1.0, 0.8, 0.3):
        for number in range(400):
            inputs, expected = model.cycle(pace, halt=number > 300)
            got = await bench.cycle(inputs, OUTPUTS)
            assert got["axi__arsize"] == size
            for name, value in expected.items():
                assert got[name] == value, f"cycle {number}: {name} is {got[name]}"
