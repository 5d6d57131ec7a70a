"""FETCH against its rules: requests, pops, dispatches and states, cycle by cycle."""

from __future__ import annotations

import random
from collections import deque
from typing import Any

import cocotb

from pulsarray.config import Config
from pulsarray.hw.blocks.ports import INDEX_BITS
from pulsarray.isa import FORMATS, UNIT_BYTES, Opcode
from pulsarray.registers import ErrorCode
from tests.hw.bench import Bench, machine, parameters

OUTPUTS = (
    *("want", "address", "beats", "valid", "unit", "shown", "opcode", "index", "state", "ended"),
    *("error", "error_index"),
)
BUSY, QUEUE, MEMORY, IDLE = 1, 2, 4, 8
NOBODY = (1 << INDEX_BITS) - 1
ADDRESS = 0x7000


def random_instruction(generator: random.Random) -> bytes:
    """An instruction with a legal header and noise for the rest."""
    form = FORMATS[generator.choice([op for op in FORMATS if op != Opcode.END])]
    return bytes([form.opcode, form.units]) + generator.randbytes(form.bytes - 2)


END = bytes([Opcode.END, 1])


class Fetches:
    """Memory and queues around FETCH, and what it must do in each cycle."""

    def __init__(
        self,
        generator: random.Random,
        config: Config,
        program: list[bytes],
        pace: float,
        queue_pace: float,
    ) -> None:
        self.generator, self.config = generator, config
        self.pace, self.queue_pace = pace, queue_pace
        self.program = program
        self.image = b"".join(program)
        self.units = len(self.image) // UNIT_BYTES
        self.address = generator.getrandbits(32)
        self.per_fetch = config.fetch_bytes // UNIT_BYTES
        self.image += generator.randbytes(4096)
        self.memory: deque[tuple[int, int]] = deque()  # first cycle of a beat, its place
        self.asked = self.beats = self.arrived = self.popped = self.dispatched = 0
        self.gathered = 0  # units of the current instruction popped
        self.gathered_visible = 0
        self.over = False
        self.now = 0

    def chance(self) -> bool:
        """Whether something that may happen happens now."""
        return self.generator.random() < self.pace

    def needed(self) -> int:
        """Units of the current instruction."""
        if self.dispatched == len(self.program):
            return 1
        return len(self.program[self.dispatched]) // UNIT_BYTES

    def cycle(self) -> tuple[dict[str, int], dict[str, int]]:
        """Inputs and expected outputs of a cycle."""
        config = self.config
        inputs = {"running": 1, "program_address": self.address, "program_units": self.units}
        fetches = -(-self.units // self.per_fetch)
        early = self.asked < 2 or self.popped >= (self.asked - 1) * self.per_fetch
        want = self.asked < fetches and early and not self.over
        expected: dict[str, int] = {"want": want, "error": 0, "ended": self.over}
        if want:
            expected["address"] = (self.address + self.asked * config.fetch_bytes) % (1 << 32)
            expected["beats"] = config.fetch_bytes // config.bus_bytes
        arrived = self.arrived
        inputs |= self._beat()
        inputs["grant"] = want and self.chance()
        if inputs["grant"]:
            self._ask()
        self._pop(arrived, inputs, expected)
        self.now += 1
        return inputs, expected

    def _ask(self) -> None:
        config = self.config
        for place in range(0, config.fetch_bytes, config.bus_bytes):
            self.memory.append((self.now + 2, self.asked * config.fetch_bytes + place))
        self.asked += 1

    def _beat(self) -> dict[str, int]:
        size = self.config.bus_bytes
        if not self.memory or self.memory[0][0] > self.now or not self.chance():
            return {"beat_data": self.generator.getrandbits(8 * size)}
        _, place = self.memory.popleft()
        self.beats += 1
        self.arrived = self.beats * size // UNIT_BYTES
        return {
            "beat_valid": 1,
            "beat_data": int.from_bytes(self.image[place : place + size], "little"),
        }

    def _pop(self, arrived: int, inputs: dict[str, int], expected: dict[str, int]) -> None:
        whole = self.gathered == self.needed() and not self.over
        ready = self.generator.random() < self.queue_pace
        inputs["ready"] = ready
        expected["valid"] = whole
        room = not whole or ready
        there = self.popped < min(arrived, self.units)
        pop = there and room and not self.over
        if self.over:
            expected["state"] = IDLE
        elif pop:
            expected["state"] = BUSY
        else:
            expected["state"] = QUEUE if whole and not ready else MEMORY
        if self.gathered and not self.over:
            content = self.program[self.dispatched][UNIT_BYTES * (self.gathered - 1) :]
            expected["unit"] = int.from_bytes(content[:UNIT_BYTES], "little")
            expected["opcode"] = self.program[self.dispatched][0]
            expected["index"] = self.dispatched
        if not self.over:
            expected["shown"] = 1 << self.gathered >> 1
        if whole and ready:
            self.dispatched += 1
            self.gathered = 0
        if pop:
            self.popped += 1
            self.gathered += 1
            self.over = self.program[self.dispatched][:2] == END


def compare(got: dict[str, int], expected: dict[str, int], now: int) -> None:
    """Outputs that are expected."""
    for name, value in expected.items():
        assert got[name] == value, f"cycle {now}: {name} is {got[name]:x}, not {int(value):x}"


def programs(generator: random.Random, config: Config) -> list[list[bytes]]:
    """Programs of every length up to several fetches, some with units after END."""
    longest = 3 * config.fetch_bytes // UNIT_BYTES
    drawn = []
    for length in (0, 1, 2, 5, longest // 2, longest):
        program = [random_instruction(generator) for _ in range(length)]
        program.append(END + generator.randbytes(UNIT_BYTES - 2))
        after = generator.choice([0, 0, 1, longest])
        drawn.append([*program, *(generator.randbytes(UNIT_BYTES) for _ in range(after))])
    return drawn


@cocotb.test()
async def fetches(dut: Any) -> None:
    """Random programs; memory and queues at full speed and slower, and full queues."""
    config, generator = machine(), random.Random(parameters()["seed"])
    bench = Bench(dut)
    await bench.start()
    for pace, queue_pace in ((1.0, 1.0), (1.0, 0.05), (0.4, 0.4)):
        for program in programs(generator, config):
            await (bench.reset() if generator.randrange(2) else bench.cycle({"clear": 1}))
            model = Fetches(generator, config, program, pace, queue_pace)
            model.units += generator.choice([0, 0, 1, 1 << generator.randrange(5, 32)])
            while not model.over or model.memory:
                inputs, expected = model.cycle()
                compare(await bench.cycle(inputs, OUTPUTS), expected, model.now - 1)
            for _ in range(3):
                inputs, expected = model.cycle()
                compare(await bench.cycle(inputs, OUTPUTS), expected, model.now - 1)


@cocotb.test()
async def long_program(dut: Any) -> None:
    """Hundreds of instructions, a fetch at a time."""
    config, generator = machine(), random.Random(parameters()["seed"])
    if config.bus_bytes == 1:
        return  # a beat holds no header
    bench = Bench(dut)
    await bench.start()
    fetch, address = config.fetch_bytes, generator.randrange(1 << 20) << 12
    on = {"running": 1, "program_address": address, "program_units": 0xFFFFFFFF, "ready": 1}
    units, beats = fetch // UNIT_BYTES, fetch // config.bus_bytes
    data = int.from_bytes(bytes([Opcode.LOAD, 1]) * (config.bus_bytes // 2), "little")
    outputs = ("want", "address", "index", "state", "valid")
    for number in range(300 // units):
        got = await bench.cycle({**on, "grant": 1}, outputs)
        assert (got["want"], got["address"]) == (1, (address + number * fetch) % (1 << 32))
        assert (got["index"], got["state"], got["valid"]) == (number * units, MEMORY, 0)
        await bench.skip(beats, {**on, "beat_valid": 1, "beat_data": data})
        await bench.skip(units + 2, on)


async def run_to_error(bench: Bench, model: Fetches) -> tuple[int, int, int]:
    """Run until FETCH finds an error: its code and index, and cycles since the last pop."""
    await bench.cycle({"halt": 1, "clear": 1})
    since = 0
    for _ in range(4000):
        popped = model.popped
        inputs, _ = model.cycle()
        got = await bench.cycle(inputs, ["error", "error_index", "valid"])
        since += 1
        if got["error"]:
            return got["error"], got["error_index"], since
        if model.popped > popped:
            since = 0
    raise AssertionError("no error")


@cocotb.test()
async def illegal(dut: Any) -> None:
    """Unknown opcodes and wrong lengths stop at dispatch, in the cycle after the pop."""
    config, generator = machine(), random.Random(parameters()["seed"])
    bench = Bench(dut)
    await bench.start()
    for header in (
        [0x00, 1],
        [0x17, 1],
        [0x16, 2],
        [0x10, 2],
        [0x12, 1],
        [0x13, 0],
        [0x01, 2],
        [0x15, 3],
    ):
        program = [random_instruction(generator) for _ in range(3)]
        program.append(bytes(header) + generator.randbytes(UNIT_BYTES - 2))
        program.append(END + bytes(UNIT_BYTES - 2))
        model = Fetches(generator, config, program, 1.0, 1.0)
        found = await run_to_error(bench, model)
        assert found == (ErrorCode.ILLEGAL_OPCODE, 3, 1), str(header)


@cocotb.test()
async def no_end(dut: Any) -> None:
    """A program without END, or whose last instruction is cut, stops with PROGRAM_END."""
    config, generator = machine(), random.Random(parameters()["seed"])
    bench = Bench(dut)
    await bench.start()
    stream = bytes([Opcode.STREAM, 2]) + bytes(62)
    load = bytes([Opcode.LOAD, 1]) + bytes(30)
    for program, units, since in (
        ([load], 1, 2),
        ([stream, load], 3, 2),
        ([load, stream], 2, 1),
    ):
        model = Fetches(generator, config, program, 1.0, 1.0)
        model.units = units
        found = await run_to_error(bench, model)
        assert found == (ErrorCode.PROGRAM_END, NOBODY, since)


@cocotb.test()
async def error_response(dut: Any) -> None:
    """A beat with an error is nobody's; a halted FETCH does nothing."""
    bench = Bench(dut)
    await bench.start()
    on = {"running": 1, "program_units": 40, "program_address": ADDRESS, "ready": 1}
    await bench.cycle({**on, "grant": 1})
    wrong = {"beat_valid": 1, "beat_error": 1}
    for units in (40, 0):  # without units PROGRAM_END arises too
        got = await bench.cycle({**on, **wrong, "program_units": units}, ["error", "error_index"])
        assert (got["error"], got["error_index"]) == (ErrorCode.AXI_READ, NOBODY)
    for _ in range(2 * UNIT_BYTES):
        got = await bench.cycle({**on, "beat_valid": 1, "halt": 1}, ["want", "valid", "state"])
        assert (got["want"], got["valid"], got["state"]) == (0, 0, MEMORY)
    await bench.cycle({"clear": 1, "halt": 1})
    got = await bench.cycle(on, ["want", "address"])
    assert (got["want"], got["address"]) == (1, ADDRESS)
