"""LOAD against its rules: requests, words, completion, cycle by cycle, with random memory."""

from __future__ import annotations

import random
from collections import deque
from itertools import islice
from typing import Any

import cocotb

from pulsarray.config import Config
from pulsarray.hw.blocks.ports import INDEX_BITS
from pulsarray.isa import Bank, Instruction, Opcode
from pulsarray.registers import ErrorCode
from tests.hw.bench import Bench, encoded, machine, parameters, raw
from tests.hw.transfers import (
    bad_transfers,
    bank_words,
    beats_per_word,
    bursts,
    endless_transfer,
    memory_byte,
    transfer,
)

OUTPUTS = (
    *("ready", "active", "stall", "busy", "complete", "complete_index", "complete_signal"),
    *("error", "error_index", "want", "address", "beats"),
    *("out_enable", "out_bank", "out_address", "out_hold", "out_raw"),
)

WORDS = 1024
"""What is looked at of a transfer, in words and bursts; those that end have fewer."""


def banks_of(config: Config) -> list[int]:
    """One bank of every class, and the last ones."""
    last = config.scratchpad_banks - 1, Bank.ACCUMULATOR + config.accumulator_banks - 1
    return [0, last[0], Bank.ACCUMULATOR, last[1], Bank.PARAMETER, *[Bank.TABLE][: config.tables]]


class Words:
    """Where the beats of the instructions that have started go."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.places: deque[tuple[int, Instruction, int, bool]] = deque()
        self.beats: list[int] = []

    def start(self, index: int, instruction: Instruction) -> None:
        """Another instruction's words follow."""
        final = instruction["count0"] * instruction["count1"] * instruction["run"] - 1
        for number, word in enumerate(islice(bank_words(instruction), WORDS)):
            self.places.append((index, instruction, word, number == final))

    def beat(self, data: int) -> dict[str, int]:
        """What one more beat makes visible in the next cycle."""
        index, instruction, word, last = self.places[0]
        bank = instruction["bank"]
        self.beats.append(data)
        if len(self.beats) < beats_per_word(bank, self.config):
            return {}
        value = raw(self.beats, self.config.bus_bytes)
        self.beats = []
        self.places.popleft()
        done = {"complete_index": index, "complete_signal": instruction["signal"]} if last else {}
        return {
            "out_enable": 1,
            "out_bank": bank,
            "out_address": word,
            "out_raw": value,
            "complete": int(last),
            **done,
        }


class Loads:
    """The unit's surroundings, and what it must do in each cycle."""

    def __init__(self, generator: random.Random, config: Config, pace: float) -> None:
        self.generator, self.config, self.pace = generator, config, pace
        self.words = Words(config)
        self.front: deque[tuple[int, int]] = deque()
        self.memory: deque[tuple[int, int, int]] = deque()
        self.visible: dict[str, int] = {}
        self.started = 0
        self.completed = 0
        self.between = False
        self.now = 0

    def chance(self) -> bool:
        """Whether something that may happen happens now."""
        return self.generator.random() < self.pace

    def cycle(self, following: Instruction | None) -> tuple[dict[str, int], dict[str, int]]:
        """Inputs and expected outputs of a cycle; ``following`` starts if it can and will."""
        expected = dict.fromkeys(("complete", "out_enable", "error"), 0) | self.visible
        active = bool(self.front)
        room = len(self.memory) < self.config.outstanding
        grant = active and room and self.chance()
        ready = not active or (grant and len(self.front) == 1)
        expected |= {"want": active, "active": active, "stall": active and not grant}
        expected |= {"ready": ready, "busy": self.started > self.completed}
        if active:
            expected["address"], expected["beats"] = self.front[0]
        self._holds(expected)
        inputs = self._beat()
        inputs["grant"] = grant
        if grant:
            address, beats = self.front.popleft()
            self.memory.append((self.now + 2, address, beats))
        if following is not None and ready and self.chance():
            index = self.generator.getrandbits(INDEX_BITS)
            inputs |= {"start": 1, "instruction": encoded(following), "index": index}
            self.front.extend(islice(bursts(following, self.config), WORDS))
            self.words.start(index, following)
            self.started += 1
        self.now += 1
        return inputs, expected

    def _holds(self, expected: dict[str, int]) -> None:
        if expected["out_enable"]:
            self.completed += expected["complete"]
            self.between = not expected["complete"]
        expected["out_hold"] = expected["out_enable"] or self.between

    def _beat(self) -> dict[str, int]:
        self.visible = {}
        if not self.memory or self.memory[0][0] > self.now or not self.chance():
            return {"beat_data": self.generator.getrandbits(8 * self.config.bus_bytes)}
        ready, address, beats = self.memory.popleft()
        size = self.config.bus_bytes
        data = raw([memory_byte(address + i) for i in range(size)], 1)
        if beats > 1:
            self.memory.appendleft((ready, address + size, beats - 1))
        self.visible = self.words.beat(data)
        return {"beat_valid": 1, "beat_data": data}


def compare(got: dict[str, int], expected: dict[str, int], config: Config, now: int) -> None:
    """Outputs that are expected; of a narrow word only its own bytes."""
    if expected["out_enable"]:
        wide = beats_per_word(expected["out_bank"], config) * config.bus_bits
        got["out_raw"] &= (1 << wide) - 1
    for name, value in expected.items():
        assert got[name] == value, f"cycle {now}: {name} is {got[name]}, not {int(value)}"


async def step(bench: Bench, model: Loads, following: Instruction | None) -> bool:
    """One cycle, compared; whether ``following`` has started."""
    before = model.started
    inputs, expected = model.cycle(following)
    compare(await bench.cycle(inputs, OUTPUTS), expected, model.config, model.now - 1)
    return model.started > before


@cocotb.test()
async def loads(dut: Any) -> None:
    """Random LOADs, at full speed and with gaps everywhere."""
    config, generator = machine(), random.Random(parameters()["seed"])
    bench = Bench(dut)
    await bench.start()
    for pace in (1.0, 0.7, 0.4):
        await bench.cycle({"clear": 1})
        surroundings = Loads(generator, config, pace)
        left = [transfer(generator, Opcode.LOAD, config, banks_of(config)) for _ in range(7)]
        while left or surroundings.completed < surroundings.started:
            if await step(bench, surroundings, left[0] if left else None):
                left.pop(0)


@cocotb.test()
async def long_loops(dut: Any) -> None:
    """Each loop for thousands of iterations: its last bursts, and its last words."""
    config, generator = machine(), random.Random(parameters()["seed"])
    bench = Bench(dut)
    await bench.start()
    for sizes in ((1, 1, 2999), (1, 1557, 2), (2, 1108, 1), (2011, 1, 1), (90, 1, 1), (1, 37, 1)):
        await bench.cycle({"clear": 1})
        load = transfer(generator, Opcode.LOAD, config, [0], sizes)
        await bench.cycle({"start": 1, "instruction": encoded(load)})
        requests, words = list(bursts(load, config)), list(bank_words(load))
        await bench.skip(len(requests) - 3, {"grant": 1})
        for address, beats in requests[-3:]:
            got = await bench.cycle({"grant": 1}, ["want", "address", "beats", "ready"])
            assert (got["want"], got["address"], got["beats"]) == (1, address, beats)
        assert got["ready"] == 1
        beats = config.beats_per_word
        await bench.skip((len(words) - 2) * beats, {"beat_valid": 1})
        for beat in range(2 * beats + 1):
            got = await bench.cycle({"beat_valid": beat < 2 * beats}, OUTPUTS)
            whole = beat % beats == 0
            assert (got["want"], got["out_enable"]) == (0, whole)
            assert not whole or got["out_address"] == words[beat // beats - 3]
            assert got["complete"] == (beat == 2 * beats)


@cocotb.test()
async def endless(dut: Any) -> None:
    """The first words of LOADs with far too many, then ``clear``."""
    config, generator = machine(), random.Random(parameters()["seed"])
    bench = Bench(dut)
    await bench.start()
    for _ in range(40):
        surroundings = Loads(generator, config, 1.0)
        following = endless_transfer(generator, Opcode.LOAD, config, banks_of(config))
        assert await step(bench, surroundings, following)
        for _ in range(24):
            await step(bench, surroundings, None)
        await bench.cycle({"clear": 1})


@cocotb.test()
async def bad_fields(dut: Any) -> None:
    """Every broken rule is found in the cycle of the start, even with an error of a beat."""
    config, generator = machine(), random.Random(parameters()["seed"])
    bench = Bench(dut)
    await bench.start()
    wrong = bad_transfers(generator, Opcode.LOAD, config, banks_of(config))
    for number, instruction in enumerate(wrong):
        index = generator.getrandbits(INDEX_BITS)
        inputs = {"start": 1, "instruction": encoded(instruction), "index": index}
        inputs |= {"beat_valid": number % 2, "beat_error": number % 2}
        got = await bench.cycle(inputs, ["error", "error_index"])
        assert (got["error"], got["error_index"]) == (ErrorCode.BAD_FIELD, index), (
            instruction.text()
        )
        assert (await bench.cycle({}, ["want"]))["want"] == 0
        await bench.cycle({"halt": 1, "clear": 1})


@cocotb.test()
async def error_responses(dut: Any) -> None:
    """A beat with an error names its instruction; a halted LOAD asks for nothing more."""
    config, generator = machine(), random.Random(parameters()["seed"])
    long = Instruction.make(Opcode.LOAD, bank=0, run=300, address=4096, signal=1)
    bench = Bench(dut)
    await bench.start()
    for _ in range(4):
        index = generator.getrandbits(INDEX_BITS)
        await bench.cycle({"start": 1, "instruction": encoded(long), "index": index})
        await bench.cycle({"grant": 1})
        await bench.cycle()
        got = await bench.cycle({"beat_valid": 1}, ["error"])
        assert got["error"] == 0
        assert (await bench.cycle({"beat_error": 1}, ["error"]))["error"] == 0
        got = await bench.cycle({"beat_valid": 1, "beat_error": 1}, ["error", "error_index"])
        assert (got["error"], got["error_index"]) == (ErrorCode.AXI_READ, index)
        for beat in range(3 * config.beats_per_word):
            got = await bench.cycle({"halt": 1, "beat_valid": 1}, ["want", "out_enable"])
            assert got["want"] == 0
            assert got["out_enable"] == 0 or beat == 0
        await bench.cycle({"halt": 1, "clear": 1})
        got = await bench.cycle({}, ["active", "busy", "ready"])
        assert (got["active"], got["busy"], got["ready"]) == (0, 0, 1)
