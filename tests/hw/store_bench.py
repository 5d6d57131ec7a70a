"""STORE against its rules: slots, reads, beats, completion, cycle by cycle, and back pressure."""

from __future__ import annotations

import random
from collections import deque
from typing import Any

import cocotb

from pulsarray.config import Config
from pulsarray.isa import Bank, Instruction, Opcode
from pulsarray.registers import ErrorCode
from tests.hw.bench import Bench, encoded, machine, pack, parameters
from tests.hw.transfers import bad_transfers, bank_words, beats_per_word, bursts, transfer

OUTPUTS = (
    *("ready", "active", "stall", "busy", "complete", "complete_index", "complete_signal"),
    *("error", "error_index", "idle"),
    *("port__enable", "port__bank", "port__address", "port__hold"),
    *("axi__awvalid", "axi__awaddr", "axi__awlen", "axi__awsize", "axi__awburst"),
    *("axi__wvalid", "axi__wdata", "axi__wstrb", "axi__wlast", "axi__bready"),
)
QUIET = ("port__enable", "axi__awvalid", "axi__wvalid", "complete", "error")


def banks_of(config: Config) -> list[int]:
    """The first and the last bank of both classes."""
    last = config.scratchpad_banks - 1, Bank.ACCUMULATOR + config.accumulator_banks - 1
    return [0, last[0], Bank.ACCUMULATOR, last[1]]


def lanes(bank: int, address: int, config: Config) -> list[int]:
    """What a bank holds at an address, extremes often among it."""
    bits = config.operand_bits if bank < Bank.ACCUMULATOR else config.acc_bits
    generator = random.Random(bank << 16 | address)
    high = (1 << (bits - 1)) - 1
    choices = [-high - 1, high, -1, generator.randint(-high - 1, high)]
    return [generator.choice(choices) for _ in range(config.dim)]


def memory_beats(instruction: Instruction, config: Config) -> list[int]:
    """Every beat of a STORE."""
    bank = instruction["bank"]
    slot = config.operand_bytes if bank < Bank.ACCUMULATOR else config.acc_slot_bytes
    beats = []
    for address in bank_words(instruction):
        value = pack(lanes(bank, address, config), 8 * slot)
        for _ in range(beats_per_word(bank, config)):
            beats.append(value & ((1 << config.bus_bits) - 1))
            value >>= config.bus_bits
    return beats


class Port:
    """Answers reads; the word stays while the port is held, then there is noise."""

    def __init__(self, generator: random.Random, config: Config) -> None:
        self.generator, self.config = generator, config
        self.asked: tuple[int, int] | None = None

    def inputs(self) -> dict[str, int]:
        """The port's answer in this cycle."""
        dim, config = self.config.dim, self.config
        word = self.generator.getrandbits(dim * config.operand_bits)
        sums = self.generator.getrandbits(dim * config.acc_bits)
        if self.asked is not None:
            values = lanes(*self.asked, config)
            if self.asked[0] < Bank.ACCUMULATOR:
                word = pack(values, config.operand_bits)
            else:
                sums = pack(values, config.acc_bits)
        return {"port__word": word, "port__sums": sums}

    def see(self, got: dict[str, int]) -> None:
        """Remember what the unit asks for."""
        asked = got["port__bank"], got["port__address"]
        if got["port__enable"]:
            self.asked = asked
        elif not got["port__hold"]:
            self.asked = None


class Stores:
    """The write channel, always ready, and what the unit must do in each cycle."""

    def __init__(self, generator: random.Random, config: Config, pace: float) -> None:
        self.generator, self.config, self.pace = generator, config, pace
        self.events: dict[int, dict[str, int]] = {}
        self.left: deque[tuple[int, int]] = deque()  # bursts of the instruction in front
        self.beats: deque[int] = deque()
        self.words: deque[int] = deque()
        self.slots = 0  # slots left of the burst that has begun
        self.place = 0
        self.outstanding: deque[tuple[int, int, int, bool]] = deque()
        self.started = self.completed = 0
        self.instruction = Instruction.make(Opcode.STORE)
        self.now = 0

    def chance(self) -> bool:
        """Whether something that may happen happens now."""
        return self.generator.random() < self.pace

    def at(self, cycle: int) -> dict[str, int]:
        """What is expected in a cycle."""
        return self.events.setdefault(cycle, dict.fromkeys(QUIET, 0))

    def cycle(self, following: Instruction | None) -> tuple[dict[str, int], dict[str, int]]:
        """Inputs and expected outputs of a cycle; ``following`` starts if it can and will."""
        now, expected = self.now, self.at(self.now)
        expected["busy"] = self.started > self.completed
        active = bool(self.left or self.slots)
        places = len(self.outstanding)
        inputs = {"axi__awready": 1, "axi__wready": 1, **self._response(expected)}
        if not self.slots and self.left and places < self.config.outstanding:
            self._begin(now)
        slot = self.slots > 0
        if slot:
            self._slot(now, expected)
        ready = not self.left and not self.slots
        expected |= {"active": active, "port__hold": active, "stall": active and not slot}
        expected |= {"ready": ready, "axi__bready": 1}
        if following is not None and ready and self.chance():
            inputs |= {"start": 1, "instruction": encoded(following), "index": self.started}
            self.instruction = following
            self.left.extend(bursts(following, self.config))
            self.beats.extend(memory_beats(following, self.config))
            self.words.extend(bank_words(following))
            self.started += 1
        self.now += 1
        return inputs, expected

    def _begin(self, now: int) -> None:
        address, beats = self.left.popleft()
        self.slots = beats
        size = self.config.bus_bytes.bit_length() - 1
        self.at(now + 1).update(axi__awvalid=1, axi__awaddr=address, axi__awlen=beats - 1)
        self.at(now + 1).update(axi__awsize=size, axi__awburst=1)
        signal = self.instruction["signal"]
        last = not self.left
        self.outstanding.append((now + 2 + beats, self.started - 1, signal, last))

    def _slot(self, now: int, expected: dict[str, int]) -> None:
        if self.place == 0:
            expected.update(port__enable=1, port__address=self.words.popleft())
            expected["port__bank"] = self.instruction["bank"]
        self.place = (self.place + 1) % beats_per_word(self.instruction["bank"], self.config)
        self.slots -= 1
        beat = self.at(now + 2)
        beat.update(axi__wvalid=1, axi__wdata=self.beats.popleft(), axi__wlast=self.slots == 0)
        beat["axi__wstrb"] = (1 << self.config.bus_bytes) - 1

    def _response(self, expected: dict[str, int]) -> dict[str, int]:
        if not self.outstanding or self.outstanding[0][0] > self.now or not self.chance():
            return {"axi__bresp": self.generator.randrange(4)}
        _, index, signal, last = self.outstanding.popleft()
        if last:
            expected.update(complete=1, complete_index=index, complete_signal=signal)
            self.completed += 1
        return {"axi__bvalid": 1}


def some(generator: random.Random, config: Config, count: int) -> list[Instruction]:
    """Random STOREs."""
    banks = banks_of(config)
    return [transfer(generator, Opcode.STORE, config, banks) for _ in range(count)]


@cocotb.test()
async def stores(dut: Any) -> None:
    """Random STOREs to a bus that is always ready, its responses fast and slow."""
    config, generator = machine(), random.Random(parameters()["seed"])
    bench = Bench(dut)
    await bench.start()
    for pace in (1.0, 0.6, 0.05):
        await bench.cycle({"clear": 1})
        model, port = Stores(generator, config, pace), Port(generator, config)
        left = some(generator, config, 8)
        while left or model.completed < model.started:
            before = model.started
            inputs, expected = model.cycle(left[0] if left else None)
            got = await bench.cycle({**inputs, **port.inputs()}, OUTPUTS)
            for name, value in expected.items():
                text = f"cycle {model.now - 1}: {name} is {got[name]}, not {int(value)}"
                assert got[name] == value, text
            port.see(got)
            if model.started > before:
                left.pop(0)
        assert (await bench.cycle({}, ["idle"]))["idle"] == 1


class Bus:
    """A write channel that is ready when it likes; it keeps what it accepted."""

    def __init__(self, generator: random.Random) -> None:
        self.generator = generator
        self.addresses: list[tuple[int, int]] = []
        self.beats: list[tuple[int, int, int]] = []
        self.bursts = self.responses = 0
        self.waiting: dict[str, int] = {}

    def inputs(self) -> dict[str, int]:
        """Ready signals and a response in this cycle."""
        done = min(len(self.addresses), self.bursts)
        valid = self.responses < done and self.generator.randrange(3) == 0
        self.responses += valid
        ready = {f"axi__{name}ready": self.generator.randrange(2) for name in ("aw", "w")}
        return {**ready, "axi__bvalid": valid}

    def see(self, inputs: dict[str, int], got: dict[str, int]) -> None:
        """Accept what is offered; what was offered before and not accepted must still be there."""
        for name, value in self.waiting.items():
            assert got[name] == value, f"{name} changed before it was accepted"
        self.waiting = {}
        for channel, parts in (("aw", ("addr", "len")), ("w", ("data", "strb", "last"))):
            names = [f"axi__{channel}{part}" for part in ("valid", *parts)]
            if not got[names[0]]:
                continue
            if not inputs[f"axi__{channel}ready"]:
                self.waiting |= {name: got[name] for name in names}
            elif channel == "aw":
                self.addresses.append((got[names[1]], got[names[2]] + 1))
            else:
                self.beats.append((got[names[1]], got[names[2]], got[names[3]]))
                self.bursts += got[names[3]]


@cocotb.test()
async def back_pressure(dut: Any) -> None:
    """A bus that is ready at random gets the same bursts and beats."""
    config, generator = machine(), random.Random(parameters()["seed"])
    bench, bus, port = Bench(dut), Bus(generator), Port(generator, config)
    await bench.start()
    strobes = (1 << config.bus_bytes) - 1
    for index, instruction in enumerate(some(generator, config, 5)):
        start = {"start": 1, "instruction": encoded(instruction), "index": index}
        await bench.cycle(start)
        wanted = bursts(instruction, config)
        bus.addresses.clear()
        bus.beats.clear()
        bus.bursts = bus.responses = complete = 0
        while bus.responses < len(wanted):
            inputs = {**bus.inputs(), **port.inputs()}
            got = await bench.cycle(inputs, OUTPUTS)
            bus.see(inputs, got)
            port.see(got)
            assert complete == 0
            complete = got["complete"]
        assert complete == 1
        assert bus.addresses == wanted
        ends = [i == count - 1 for _, count in wanted for i in range(count)]
        beats = zip(memory_beats(instruction, config), ends, strict=True)
        assert bus.beats == [(data, strobes, last) for data, last in beats]


@cocotb.test()
async def bad_fields(dut: Any) -> None:
    """Every broken rule is found in the cycle of the start, even with an error response."""
    config = machine()
    bench = Bench(dut)
    await bench.start()
    for number, instruction in enumerate(bad_transfers(Opcode.STORE, config, banks_of(config))):
        inputs = {"start": 1, "instruction": encoded(instruction), "index": number}
        inputs |= {"axi__bvalid": number % 2, "axi__bresp": 2}
        got = await bench.cycle(inputs, ["error", "error_index"])
        text = instruction.text()
        assert (got["error"], got["error_index"]) == (ErrorCode.BAD_FIELD, number), text
        await bench.cycle({"halt": 1, "clear": 1})


@cocotb.test()
async def halts(dut: Any) -> None:
    """After an error the bursts that began are finished without strobes, and none begins."""
    config, generator = machine(), random.Random(parameters()["seed"])
    bench = Bench(dut)
    await bench.start()
    long = Instruction.make(Opcode.STORE, run=400 // config.word_bytes, address=4096, signal=1)
    for wait in (1, 2, 3, 9, 20):
        bus = Bus(generator)
        await bench.cycle({"start": 1, "instruction": encoded(long), "index": 5})
        await halt_at(bench, bus, wait)
        assert len(bus.beats) == sum(beats for _, beats in bus.addresses)
        assert bus.responses == len(bus.addresses)
        await bench.cycle({"halt": 1, "clear": 1})
        got = await bench.cycle({}, ["active", "busy", "ready"])
        assert (got["active"], got["busy"], got["ready"]) == (0, 0, 1)


async def halt_at(bench: Bench, bus: Bus, wait: int) -> None:
    """Halt in a cycle, and check every address and beat that is new on the bus after it."""
    strobes = (1 << machine().bus_bytes) - 1
    for cycle in range(400):
        inputs = {**bus.inputs(), "halt": int(cycle >= wait)}
        got, before = await bench.cycle(inputs, OUTPUTS), bus.waiting
        bus.see(inputs, got)
        if got["axi__awvalid"] and "axi__awvalid" not in before:
            assert cycle <= wait
        if got["axi__wvalid"] and "axi__wvalid" not in before:
            assert got["axi__wstrb"] == (0 if cycle > wait else strobes)
    assert got["idle"] == 1


@cocotb.test()
async def error_responses(dut: Any) -> None:
    """A response with an error names its instruction."""
    bench = Bench(dut)
    await bench.start()
    short = Instruction.make(Opcode.STORE, address=4096)
    await bench.cycle({"start": 1, "instruction": encoded(short), "index": 9})
    for _ in range(8):
        got = await bench.cycle({"axi__awready": 1, "axi__wready": 1}, ["error"])
        assert got["error"] == 0
    response = {"axi__bvalid": 1, "axi__bresp": 2}
    got = await bench.cycle(response, ["error", "error_index"])
    assert (got["error"], got["error_index"]) == (ErrorCode.AXI_WRITE, 9)
