"""LOAD against its rules: requests, words, completion, cycle by cycle, with random memory."""

from __future__ import annotations

import random
from collections import deque
from typing import Any

import cocotb

from pulsarray.config import Config
from pulsarray.isa import Bank, Instruction, Opcode
from pulsarray.registers import ErrorCode
from tests.hw.bench import Bench, encoded, machine, parameters, raw
from tests.hw.transfers import (
    bad_transfers,
    bank_words,
    beats_per_word,
    bursts,
    memory_byte,
    transfer,
)

OUTPUTS = (
    *("ready", "active", "stall", "busy", "complete", "complete_index", "complete_signal"),
    *("error", "error_index", "want", "address", "beats"),
    *("out_enable", "out_bank", "out_address", "out_hold", "out_raw"),
)


def banks_of(config: Config) -> list[int]:
    """One bank of every class, and the last ones."""
    last = config.scratchpad_banks - 1, Bank.ACCUMULATOR + config.accumulator_banks - 1
    return [0, last[0], Bank.ACCUMULATOR, last[1], Bank.PARAMETER, *[Bank.TABLE][: config.tables]]


class Words:
    """Where the beats of the instructions that have started go."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.places: deque[tuple[int, Instruction, int, bool, bool]] = deque()
        self.beats: list[int] = []

    def start(self, index: int, instruction: Instruction) -> None:
        """Another instruction's words follow."""
        words = bank_words(instruction)
        for number, word in enumerate(words):
            last = number == len(words) - 1
            self.places.append((index, instruction, word, number == 0, last))

    def beat(self, data: int) -> dict[str, int]:
        """What one more beat makes visible in the next cycle."""
        index, instruction, word, _, last = self.places[0]
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
            inputs |= {"start": 1, "instruction": encoded(following), "index": self.started}
            self.front.extend(bursts(following, self.config))
            self.words.start(self.started, following)
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


@cocotb.test()
async def loads(dut: Any) -> None:
    """Random LOADs, at full speed and with gaps everywhere."""
    config, generator = machine(), random.Random(parameters()["seed"])
    bench = Bench(dut)
    await bench.start()
    for pace in (1.0, 0.7, 0.3):
        await bench.cycle({"clear": 1})
        surroundings = Loads(generator, config, pace)
        left = [transfer(generator, Opcode.LOAD, config, banks_of(config)) for _ in range(12)]
        while left or surroundings.completed < surroundings.started:
            before = surroundings.started
            inputs, expected = surroundings.cycle(left[0] if left else None)
            got = await bench.cycle(inputs, OUTPUTS)
            compare(got, expected, config, surroundings.now - 1)
            if surroundings.started > before:
                left.pop(0)


@cocotb.test()
async def bad_fields(dut: Any) -> None:
    """Every broken rule is found in the cycle of the start, even with an error of a beat."""
    config = machine()
    bench = Bench(dut)
    await bench.start()
    for number, instruction in enumerate(bad_transfers(Opcode.LOAD, config, banks_of(config))):
        inputs = {"start": 1, "instruction": encoded(instruction), "index": number}
        inputs |= {"beat_valid": number % 2, "beat_error": number % 2}
        got = await bench.cycle(inputs, ["error", "error_index"])
        text = instruction.text()
        assert (got["error"], got["error_index"]) == (ErrorCode.BAD_FIELD, number), text
        await bench.cycle({"halt": 1, "clear": 1})


@cocotb.test()
async def error_responses(dut: Any) -> None:
    """A beat with an error names its instruction; a halted LOAD asks for nothing more."""
    config = machine()
    long = Instruction.make(Opcode.LOAD, bank=0, run=300, address=4096, signal=1)
    bench = Bench(dut)
    await bench.start()
    for _ in range(2):
        await bench.cycle({"start": 1, "instruction": encoded(long), "index": 7})
        await bench.cycle({"grant": 1})
        await bench.cycle()
        got = await bench.cycle({"beat_valid": 1}, ["error"])
        assert got["error"] == 0
        got = await bench.cycle({"beat_valid": 1, "beat_error": 1}, ["error", "error_index"])
        assert (got["error"], got["error_index"]) == (ErrorCode.AXI_READ, 7)
        for beat in range(3 * config.beats_per_word):
            got = await bench.cycle({"halt": 1, "beat_valid": 1}, ["want", "out_enable"])
            assert got["want"] == 0
            assert got["out_enable"] == 0 or beat == 0
        await bench.cycle({"halt": 1, "clear": 1})
        got = await bench.cycle({}, ["active", "busy", "ready"])
        assert (got["active"], got["busy"], got["ready"]) == (0, 0, 1)
