"""The AXI4-Lite register port: every register, every strobe, and slow managers."""

from __future__ import annotations

import random
from typing import Any

import cocotb

from pulsarray.registers import (
    COUNTER_BASE,
    COUNTERS,
    IDENTITY,
    INTERFACE_VERSION,
    PARAMETER_BASE,
    REGISTERS,
    Control,
)
from tests.hw.bench import Bench, machine, pack, parameters

OUTPUTS = (
    *("s_axil_awready", "s_axil_wready", "s_axil_bvalid", "s_axil_bresp"),
    *("s_axil_arready", "s_axil_rvalid", "s_axil_rdata", "s_axil_rresp"),
    *("start", "clear", "stop", "program_address", "program_units", "cycle_limit"),
    *("base_address", "interrupt_enable", "counter_number"),
)
ABSENT = ("CONTROL", "BASE_ADDRESS_HIGH")
STORED = {r.address: r for r in REGISTERS if r.writable and r.name not in ABSENT}
CONTROL = next(r.address for r in REGISTERS if r.name == "CONTROL")


class Manager:
    """One write and one read at a time, each channel when it likes; what is expected of both."""

    def __init__(self, generator: random.Random, fixed: dict[int, int]) -> None:
        self.generator = generator
        self.values = {
            **fixed,
            **{address: register.initial for address, register in STORED.items()},
        }
        self.write: dict[str, int] = {}
        self.offers: set[str] = set()
        self.answer = False
        self.read: int | None = None
        self.data: int | None = None
        self.writes = self.reads = 0

    def address(self) -> int:
        """Mostly of a register, or one bit from it; the two lowest bits do not matter."""
        last = COUNTER_BASE + 4 * len(COUNTERS)
        known = [*self.values, CONTROL, 0x30, 0xFC, 0x7FC, last - 4, last, 0xFFC]
        known += [address ^ 1 << self.generator.randrange(2, 12) for address in STORED]
        return self.generator.choice(known) + self.generator.choice([0, 0, 0, 1, 2, 3])

    def inputs(self) -> dict[str, int]:
        """What the manager drives in this cycle; what is offered stays."""
        half = self.generator.randrange
        if not self.write and not self.answer and half(2):
            self.write = {"addr": self.address(), "data": self.generator.getrandbits(32)}
            self.write["strb"] = self.generator.choice([15, 15, half(16)])
        if self.write:
            self.offers |= {channel for channel in ("aw", "w") if half(2)}
        if self.read is None and self.data is None and half(2):
            self.read = self.address()
        inputs = {"s_axil_bready": half(2), "s_axil_rready": half(2)}
        if "aw" in self.offers:
            inputs |= {"s_axil_awvalid": 1, "s_axil_awaddr": self.write["addr"]}
        if "w" in self.offers:
            inputs |= {"s_axil_wvalid": 1, "s_axil_wdata": self.write["data"]}
            inputs["s_axil_wstrb"] = self.write["strb"]
        if self.read is not None:
            inputs |= {"s_axil_arvalid": 1, "s_axil_araddr": self.read}
        return inputs

    def see(self, inputs: dict[str, int], got: dict[str, int]) -> None:
        """Check the responses and take note of what was accepted."""
        for address, register in STORED.items():
            assert got[register.name.lower()] == self.values[address], register.name
        assert (got["s_axil_bresp"], got["s_axil_rresp"]) == (0, 0)
        assert got["s_axil_bvalid"] == self.answer
        assert got["s_axil_rvalid"] == (self.data is not None)
        # Reads first: one that is accepted together with a write gives the old value.
        self._see_read(inputs, got)
        self._see_write(inputs, got)

    def _see_read(self, inputs: dict[str, int], got: dict[str, int]) -> None:
        if self.data is not None:
            assert got["s_axil_rdata"] == self.data
            self.data = None if inputs["s_axil_rready"] else self.data
        if self.read is not None and got["s_axil_arready"]:
            self.data = self.values.get(self.read & ~3, 0)
            self.read = None
            self.reads += 1

    def _see_write(self, inputs: dict[str, int], got: dict[str, int]) -> None:
        if self.answer and inputs["s_axil_bready"]:
            self.answer = False
        accepted = bool(self.write) and got["s_axil_awready"] and got["s_axil_wready"]
        assert got["s_axil_awready"] == got["s_axil_wready"]
        pulses = 0
        if accepted:
            pulses = self._store()
            self.write, self.offers, self.answer = {}, set(), True
            self.writes += 1
        assert got["start"] | got["clear"] << 1 | got["stop"] << 2 == pulses

    def _store(self) -> int:
        """Do the write; the bits of CONTROL that act."""
        mask = pack([255 * (self.write["strb"] >> i & 1) for i in range(4)], 8)
        address, data = self.write["addr"] & ~3, self.write["data"] & mask
        if address in STORED:
            self.values[address] = self.values[address] & ~mask | data
        return data & (Control.START | Control.CLEAR | Control.STOP) if address == CONTROL else 0


def state(generator: random.Random) -> tuple[dict[str, int], dict[int, int]]:
    """Inputs from the machine, and what the registers for reading give then."""
    config = machine()
    fingerprint = int(config.fingerprint, 16)
    ports = {"status": 3, "error_code": 4, "error_index": 32}
    inputs = {name: generator.getrandbits(bits) for name, bits in ports.items()}
    addresses = {r.name: r.address for r in REGISTERS}
    named = {
        "ID": IDENTITY,
        "VERSION": INTERFACE_VERSION,
        "FINGERPRINT_LOW": fingerprint & 0xFFFFFFFF,
        "FINGERPRINT_HIGH": fingerprint >> 32,
        "PARAMETERS": len(config.to_dict()),
        **{name.upper(): value for name, value in inputs.items()},
    }
    fixed = {addresses[name]: value for name, value in named.items()}
    values = map(int, config.to_dict().values())
    fixed |= {PARAMETER_BASE + 4 * i: value for i, value in enumerate(values)}
    return inputs, fixed


@cocotb.test()
async def accesses(dut: Any) -> None:
    """Random reads and writes at the same time."""
    generator = random.Random(parameters()["seed"])
    bench = Bench(dut)
    await bench.start()
    steady, fixed = state(generator)
    values = [generator.getrandbits(32) for _ in range(len(COUNTERS) if machine().counters else 1)]
    fixed |= {COUNTER_BASE + 4 * i: value for i, value in enumerate(values)}
    manager = Manager(generator, fixed)
    turn = 0
    while manager.writes < 300 or manager.reads < 400:
        inputs = manager.inputs()
        # A counter's value is there in its turn alone; else there is noise.
        turn = (turn + 1) % len(values) if generator.randrange(4) else turn
        asked = ((inputs.get("s_axil_araddr", 0) - COUNTER_BASE) >> 2) % len(COUNTERS)
        is_there = asked == turn
        value = values[turn] if is_there else generator.getrandbits(32)
        counter = {"counter_valid": int(is_there), "counter_value": value}
        got = await bench.cycle({**steady, **inputs, **counter}, OUTPUTS)
        if COUNTER_BASE <= inputs.get("s_axil_araddr", 0) < COUNTER_BASE + 4 * len(values):
            assert got["counter_number"] == asked
            assert is_there or not got["s_axil_arready"]
        manager.see(inputs, got)
