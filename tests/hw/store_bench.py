"""STORE against its rules: slots, reads, beats, completion, cycle by cycle, and back pressure."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterator
from itertools import chain, islice
from typing import Any

import cocotb

from pulsarray.config import Config
from pulsarray.hw.blocks.ports import INDEX_BITS
from pulsarray.isa import Bank, Instruction, Opcode
from pulsarray.registers import ErrorCode
from tests.hw.bench import Bench, encoded, machine, pack, parameters
from tests.hw.transfers import (
    bad_transfers,
    bank_words,
    beats_per_word,
    bursts,
    endless_transfer,
    transfer,
)

OUTPUTS = (
    *("ready", "active", "stall", "busy", "complete", "complete_index", "complete_signal"),
    *("error", "error_index", "idle"),
    *("port__enable", "port__bank", "port__address", "port__hold"),
    *("axi__awvalid", "axi__awaddr", "axi__awlen", "axi__awsize", "axi__awburst"),
    *("axi__wvalid", "axi__wdata", "axi__wstrb", "axi__wlast", "axi__bready"),
)
READY = {"axi__awready": 1, "axi__wready": 1}
BURSTS = 1024
"""What is looked at of a transfer; those that end have fewer."""
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


def memory_beats(instruction: Instruction, config: Config) -> Iterator[int]:
    """Every beat of a STORE."""
    bank = instruction["bank"]
    slot = config.operand_bytes if bank < Bank.ACCUMULATOR else config.acc_slot_bytes
    for address in bank_words(instruction):
        value = pack(lanes(bank, address, config), 8 * slot)
        for _ in range(beats_per_word(bank, config)):
            yield value & ((1 << config.bus_bits) - 1)
            value >>= config.bus_bits


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
        self.beats: Iterator[int] = iter(())
        self.words: Iterator[int] = iter(())
        self.slots = 0  # slots left of the burst that has begun
        self.place = 0
        self.outstanding: deque[tuple[int, int, int, bool]] = deque()
        self.started = self.completed = self.index = 0
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
        inputs = {**READY, **self._response(expected)}
        if not self.slots and self.left and places < self.config.outstanding:
            self._begin(now)
        slot = self.slots > 0
        if slot:
            self._slot(now, expected)
        ready = not self.left and not self.slots
        expected |= {"active": active, "port__hold": active, "stall": active and not slot}
        expected |= {"ready": ready, "axi__bready": 1}
        if following is not None and ready and self.chance():
            self.index = self.generator.getrandbits(INDEX_BITS)
            inputs |= {"start": 1, "instruction": encoded(following), "index": self.index}
            self.instruction = following
            self.left.extend(islice(bursts(following, self.config), BURSTS))
            self.beats = chain(self.beats, memory_beats(following, self.config))
            self.words = chain(self.words, bank_words(following))
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
        self.outstanding.append((now + 2 + beats, self.index, signal, last))

    def _slot(self, now: int, expected: dict[str, int]) -> None:
        if self.place == 0:
            expected.update(port__enable=1, port__address=next(self.words))
            expected["port__bank"] = self.instruction["bank"]
        self.place = (self.place + 1) % beats_per_word(self.instruction["bank"], self.config)
        self.slots -= 1
        beat = self.at(now + 2)
        beat.update(axi__wvalid=1, axi__wdata=next(self.beats), axi__wlast=self.slots == 0)
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


async def step(bench: Bench, model: Stores, port: Port, following: Instruction | None) -> bool:
    """One cycle, compared; whether ``following`` has started."""
    before = model.started
    inputs, expected = model.cycle(following)
    got = await bench.cycle({**inputs, **port.inputs()}, OUTPUTS)
    for name, value in expected.items():
        assert got[name] == value, f"cycle {model.now - 1}: {name} is {got[name]}, not {int(value)}"
    port.see(got)
    return model.started > before


@cocotb.test()
async def stores(dut: Any) -> None:
    """Random STOREs to a bus that is always ready, its responses fast and slow."""
    config, generator = machine(), random.Random(parameters()["seed"])
    bench = Bench(dut)
    await bench.start()
    for pace in (1.0, 0.6, 0.05):
        await bench.cycle({"clear": 1})
        model, port = Stores(generator, config, pace), Port(generator, config)
        left = some(generator, config, 5)
        while left or model.completed < model.started:
            if await step(bench, model, port, left[0] if left else None):
                left.pop(0)
        assert (await bench.cycle({}, ["idle"]))["idle"] == 1


@cocotb.test()
async def endless(dut: Any) -> None:
    """The first words of STOREs with far too many; then they are halted."""
    config, generator = machine(), random.Random(parameters()["seed"])
    bench = Bench(dut)
    await bench.start()
    for _ in range(30):
        model, port = Stores(generator, config, 1.0), Port(generator, config)
        following = endless_transfer(generator, Opcode.STORE, config, banks_of(config))
        assert await step(bench, model, port, following)
        for _ in range(24):
            await step(bench, model, port, None)
        await bench.skip(model.slots + 3, {**READY, "halt": 1})
        await bench.skip(len(model.outstanding), {"halt": 1, "axi__bvalid": 1})
        got = await bench.cycle({"halt": 1, "clear": 1}, ["idle"])
        assert got["idle"] == 1


@cocotb.test()
async def long_loops(dut: Any) -> None:
    """Each loop for hundreds of iterations: its last bursts, and its last words."""
    config, generator = machine(), random.Random(parameters()["seed"])
    bench = Bench(dut)
    await bench.start()
    for sizes in ((1, 1, 1099), (1, 300, 1), (2, 139, 1), (301, 1, 1), (37, 1, 1)):
        store = transfer(generator, Opcode.STORE, config, [0], sizes)
        await bench.cycle({"start": 1, "instruction": encoded(store)})
        requests = list(bursts(store, config))
        begins, responses = schedule([beats for _, beats in requests], config.outstanding)
        words, reads = list(bank_words(store)), {}
        for begin, (_, beats) in list(zip(begins, requests, strict=True))[:-4:-1]:
            for place in reversed(range(0, beats, config.beats_per_word)):
                reads[begin + place] = words.pop()
        addresses = {begin + 1: request for begin, request in zip(begins, requests, strict=True)}
        place = 0
        for response in responses[:-1]:
            if response >= min(reads):
                break
            await bench.skip(response - place, READY)
            await bench.cycle({**READY, "axi__bvalid": 1})
            place = response + 1
        await bench.skip(min(reads) - place, READY)
        for cycle in range(min(reads), responses[-1] + 1):
            got = await bench.cycle({**READY, "axi__bvalid": int(cycle in responses)}, OUTPUTS)
            assert got["port__enable"] == (cycle in reads)
            assert got["port__enable"] == 0 or got["port__address"] == reads[cycle]
            assert got["axi__awvalid"] == (cycle in addresses)
            if got["axi__awvalid"]:
                assert (got["axi__awaddr"], got["axi__awlen"] + 1) == addresses[cycle]
            assert got["complete"] == (cycle == responses[-1])
        assert got["complete_signal"] == store["signal"]


def schedule(beats: list[int], outstanding: int) -> tuple[list[int], list[int]]:
    """Cycles in which bursts begin, one without a gap behind the other, and their responses."""
    begins: list[int] = []
    responses: list[int] = []
    for number, size in enumerate(beats):
        begin = begins[-1] + beats[number - 1] if begins else 0
        if number >= outstanding:
            begin = max(begin, responses[number - outstanding] + 1)
        begins.append(begin)
        responses.append(max([begin + size + 2, *(end + 1 for end in responses[-1:])]))
    return begins, responses


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
    for instruction in some(generator, config, 5):
        index = generator.getrandbits(INDEX_BITS)
        start = {"start": 1, "instruction": encoded(instruction), "index": index}
        await bench.cycle(start)
        wanted = list(bursts(instruction, config))
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
    config, generator = machine(), random.Random(parameters()["seed"])
    bench = Bench(dut)
    await bench.start()
    wrong = bad_transfers(generator, Opcode.STORE, config, banks_of(config))
    for number, instruction in enumerate(wrong):
        index = generator.getrandbits(INDEX_BITS)
        inputs = {"start": 1, "instruction": encoded(instruction), "index": index}
        inputs |= {"axi__bvalid": number % 2, "axi__bresp": 2}
        got = await bench.cycle(inputs, ["error", "error_index"])
        assert (got["error"], got["error_index"]) == (ErrorCode.BAD_FIELD, index), (
            instruction.text()
        )
        assert not (await bench.cycle({}, ["port__enable"]))["port__enable"]
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
    got, cycle = {"idle": 0}, 0
    while cycle <= wait or not got["idle"]:
        assert cycle < 600
        inputs = {**bus.inputs(), "halt": int(cycle >= wait)}
        got, before = await bench.cycle(inputs, OUTPUTS), bus.waiting
        bus.see(inputs, got)
        if got["axi__awvalid"] and "axi__awvalid" not in before:
            assert cycle <= wait
        if got["axi__wvalid"] and "axi__wvalid" not in before:
            assert got["axi__wstrb"] == (0 if cycle > wait else strobes)
        cycle += 1


@cocotb.test()
async def error_responses(dut: Any) -> None:
    """A response with an error names its instruction."""
    config, generator = machine(), random.Random(parameters()["seed"])
    bench = Bench(dut)
    await bench.start()
    for code in (1, 2, 3, 0):
        index = generator.getrandbits(INDEX_BITS)
        short = Instruction.make(Opcode.STORE, address=4096)
        await bench.cycle({"start": 1, "instruction": encoded(short), "index": index})
        for _ in range(config.beats_per_word + 2):
            got = await bench.cycle({**READY, "axi__bresp": 2}, ["error"])
            assert got["error"] == 0
        response = {"axi__bvalid": 1, "axi__bresp": code}
        got = await bench.cycle(response, ["error", "error_index"])
        assert got["error"] == (ErrorCode.AXI_WRITE if code else 0)
        assert not code or got["error_index"] == index
        await bench.cycle({"halt": 1, "clear": 1})
