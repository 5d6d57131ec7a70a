"""The error that is kept: the lowest code of the first cycle with any, of the first unit."""

from __future__ import annotations

import random
from typing import Any

import cocotb

from pulsarray.config import Config
from pulsarray.hw.blocks.ports import INDEX_BITS
from pulsarray.hw.control.errors import FETCH_CODES, UNIT_CODES
from pulsarray.isa import Bank, Unit
from pulsarray.registers import ErrorCode
from tests.hw.bench import Bench, machine, pack, parameters

OUTPUTS = ("code", "index", "halt")
NOBODY = (1 << INDEX_BITS) - 1
UNITS = len(Unit)
READING = (Unit.WEIGHT, Unit.STREAM, Unit.VECTOR, Unit.STORE)
WRITING = {Unit.LOAD: "load_index", Unit.STREAM: "target_index", Unit.VECTOR: "vector_index"}


class Machine:
    """Everybody who may find an error, and who owns it."""

    def __init__(self, generator: random.Random, config: Config, rate: float) -> None:
        self.generator, self.config, self.rate = generator, config, rate
        self.owners = [0] * UNITS
        self.cycle_number = 0

    def rare(self) -> bool:
        """Whether an error arises."""
        return self.generator.random() < self.rate

    def number(self) -> int:
        """An instruction's."""
        return self.generator.getrandbits(INDEX_BITS - 1)

    def cycle(self) -> tuple[dict[str, int], list[tuple[int, int, int]]]:
        """Inputs of a cycle, and the errors that they are: codes, whose in their order, indices."""
        raised: list[tuple[int, int, int]] = []
        inputs = {"running": 1, "cycle": self.cycle_number, "cycle_limit": self.cycle_number + 1}
        inputs |= {name: self.number() for name in WRITING.values()}
        self._banks(inputs, raised)
        self._units(inputs, raised)
        self._others(inputs, raised)
        start = [self.generator.randrange(3) == 0 for _ in Unit]
        indices = [self.number() for _ in Unit]
        inputs |= {"start": pack(start, 1), "start_index": pack(indices, INDEX_BITS)}
        for unit in Unit:
            self.owners[unit] = indices[unit] if start[unit] else self.owners[unit]
        self.cycle_number += 1
        return inputs, raised

    def _banks(self, inputs: dict[str, int], raised: list[tuple[int, int, int]]) -> None:
        owners = {int(unit): self.owners[unit] for unit in READING}
        owners |= {UNITS + unit: inputs[name] for unit, name in WRITING.items()}
        for name, code in (("address", ErrorCode.ADDRESS), ("conflict", ErrorCode.PORT_CONFLICT)):
            inputs[name] = 0
            for bit, owner in owners.items():
                if self.rare():
                    inputs[name] |= 1 << bit
                    raised.append((code, bit % UNITS, owner))

    def _units(self, inputs: dict[str, int], raised: list[tuple[int, int, int]]) -> None:
        codes, indices = [0] * UNITS, [self.number() for _ in Unit]
        semaphores, takers = [0] * UNITS, [self.number() for _ in Unit]
        for unit in Unit:
            if self.rare():
                codes[unit] = self.generator.choice(UNIT_CODES)
                raised.append((codes[unit], unit, indices[unit]))
            if self.rare():
                semaphores[unit] = 1
                raised.append((ErrorCode.SEMAPHORE, unit, takers[unit]))
        inputs |= {"code_of": pack(codes, 4), "index_of": pack(indices, INDEX_BITS)}
        inputs |= {
            "semaphore_error": pack(semaphores, 1),
            "semaphore_index": pack(takers, INDEX_BITS),
        }

    def _others(self, inputs: dict[str, int], raised: list[tuple[int, int, int]]) -> None:
        config, pick = self.config, self.generator.choice
        inputs["fetch_index"] = self.number()
        if self.rare():
            inputs["fetch_code"] = pick(FETCH_CODES)
            raised.append((inputs["fetch_code"], UNITS, inputs["fetch_index"]))
        if self.rare():
            inputs["target_error"] = 1
            raised.append((ErrorCode.ADDRESS, Unit.STREAM, inputs["target_index"]))
        if self.cycle_number and self.rare():
            inputs["cycle_limit"] = self.cycle_number
            raised.append((ErrorCode.CYCLE_LIMIT, UNITS, NOBODY))
        if self.rare():
            inputs["stop"] = 1
            raised.append((ErrorCode.STOPPED, UNITS, NOBODY))
        sizes = {Bank.PARAMETER: 4 * config.parameter_depth}
        if config.tables:
            sizes[Bank.TABLE] = config.tables * config.table_planes * config.table_words
        bank = pick([0, Bank.ACCUMULATOR, *sizes])
        depth = sizes.get(bank, 0)
        address = depth + pick([0, 1, 99]) if self.rare() else max(0, depth - pick([1, 2]))
        writes = pick([0, 1])
        inputs |= {"load_bank": bank, "load_address": address, "load_write": writes}
        if writes and bank in sizes and address >= depth:
            raised.append((ErrorCode.ADDRESS, Unit.LOAD, inputs["load_index"]))


@cocotb.test()
async def errors(dut: Any) -> None:
    """Runs until the first error, alone or among others; later ones change nothing."""
    config, generator = machine(), random.Random(parameters()["seed"])
    bench = Bench(dut)
    await bench.start()
    model = Machine(generator, config, rate=0.0)
    for number in range(150):
        await bench.cycle({"clear": 1})
        model.rate, model.cycle_number = (0.003, 0.1)[number % 2], 0
        found: list[tuple[int, int, int]] = []
        while not found:
            inputs, found = model.cycle()
            got = await bench.cycle(inputs, OUTPUTS)
            assert (got["code"], got["halt"]) == (ErrorCode.NONE, 0)
        lowest, first_unit, _ = min(found)
        indices = {index for *which, index in found if which == [lowest, first_unit]}
        for _ in range(config.fast_clock):  # the tree has a register
            got = await bench.cycle(model.cycle()[0], OUTPUTS)
            assert (got["code"], got["halt"]) == (ErrorCode.NONE, 0)
        first = await bench.cycle(model.cycle()[0], OUTPUTS)
        assert (first["code"], first["halt"]) == (lowest, 1), str(found)
        assert first["index"] in indices, str(found)
        later = await bench.cycle(model.cycle()[0], OUTPUTS)
        assert later == first


@cocotb.test()
async def only_while_running(dut: Any) -> None:
    """Nothing is an error while the machine does not run, and no limit is no limit."""
    config, generator = machine(), random.Random(parameters()["seed"])
    bench = Bench(dut)
    await bench.start()
    await bench.cycle({"clear": 1})
    model = Machine(generator, config, rate=0.5)
    for _ in range(20):
        inputs, _ = model.cycle()
        got = await bench.cycle({**inputs, "running": 0}, OUTPUTS)
        assert got == {"code": ErrorCode.NONE, "halt": 0, "index": NOBODY}
    got = await bench.cycle({"running": 1}, OUTPUTS)
    assert got["halt"] == 0
    for _ in range(2):
        assert (await bench.cycle({}, OUTPUTS))["halt"] == 0
