"""The error that is kept: the lowest code of the first cycle with any, of the first unit."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import cocotb

from pulsarray.config import Config
from pulsarray.hw.blocks.ports import INDEX_BITS
from pulsarray.hw.control.errors import FETCH_CODES, UNIT_CODES
from pulsarray.isa import Bank, Unit
from pulsarray.registers import ErrorCode
from tests.hw.bench import Bench, machine, pack, parameters

OUTPUTS = ("code", "index", "halt")
NONE = (ErrorCode.NONE, 0)
NOBODY = (1 << INDEX_BITS) - 1
UNITS = len(Unit)
READING = (Unit.WEIGHT, Unit.STREAM, Unit.VECTOR, Unit.STORE)
WRITING = {Unit.LOAD: "load_index", Unit.STREAM: "target_index", Unit.VECTOR: "vector_index"}


@dataclass(frozen=True)
class Source:
    """What may find an error.

    Members
    -------
    port
        The input, or what several say together.
    place
        Which of its parts, or bits.
    code
        The error's.
    unit
        Whose it is, in the order in which units count.
    """

    port: str
    place: int
    code: ErrorCode
    unit: int


def sources(config: Config) -> list[Source]:
    """All that there are."""
    places = [*READING, *(UNITS + unit for unit in WRITING)]
    banks = [Bank.PARAMETER, *([Bank.TABLE] if config.tables else [])]
    return [
        *(Source("address", place, ErrorCode.ADDRESS, place % UNITS) for place in places),
        *(Source("conflict", place, ErrorCode.PORT_CONFLICT, place % UNITS) for place in places),
        *(Source("load", bank, ErrorCode.ADDRESS, Unit.LOAD) for bank in banks),
        Source("target_error", 0, ErrorCode.ADDRESS, Unit.STREAM),
        *(Source("unit", unit, code, unit) for unit in Unit for code in UNIT_CODES),
        *(Source("semaphore", unit, ErrorCode.SEMAPHORE, unit) for unit in Unit),
        *(Source("fetch", 0, code, UNITS) for code in FETCH_CODES),
        Source("limit", 0, ErrorCode.CYCLE_LIMIT, UNITS),
        Source("stop", 0, ErrorCode.STOPPED, UNITS),
    ]


class Machine:
    """Everybody who may find an error, and who owns it."""

    def __init__(self, generator: random.Random, config: Config) -> None:
        self.generator = generator
        self.owners = [0] * UNITS
        self.sizes = {int(Bank.PARAMETER): 4 * config.parameter_depth}
        if config.tables:
            words = config.tables * config.table_planes * config.table_words
            self.sizes[int(Bank.TABLE)] = words

    def number(self) -> int:
        """An instruction's."""
        return self.generator.randrange(NOBODY)

    def cycle(self, errors: Iterable[Source]) -> tuple[dict[str, int], list[tuple[int, int, int]]]:
        """Inputs of a cycle with errors, and what they are: codes, whose in order, indices."""
        generator, raised = self.generator, []
        codes, semaphores, flags = (
            [0] * UNITS,
            [0] * UNITS,
            dict.fromkeys(("address", "conflict"), 0),
        )
        indices, takers, started = ([self.number() for _ in Unit] for _ in range(3))
        start = [generator.randrange(3) == 0 for _ in Unit]
        limit = generator.choice([1 << generator.randrange(32), generator.randrange(1, 1 << 32)])
        inputs = {"running": 1, "cycle_limit": limit, "cycle": limit ^ 1 << generator.randrange(32)}
        inputs |= {name: self.number() for name in (*WRITING.values(), "fetch_index")}
        inputs |= self._inside()
        owners = {int(unit): self.owners[unit] for unit in READING}
        owners |= {UNITS + unit: inputs[name] for unit, name in WRITING.items()}
        for error in errors:
            place, index = error.place, NOBODY
            match error.port:
                case "address" | "conflict" as port:
                    flags[port] |= 1 << place
                    index = owners[place]
                case "load":
                    inputs |= self._outside(place)
                    index = inputs["load_index"]
                case "target_error":
                    inputs["target_error"], index = 1, inputs["target_index"]
                case "unit":
                    codes[place], index = error.code, indices[place]
                case "semaphore":
                    semaphores[place], index = 1, takers[place]
                case "fetch":
                    inputs["fetch_code"], index = error.code, inputs["fetch_index"]
                case "limit":
                    inputs["cycle"] = limit
                case "stop":
                    inputs["stop"] = 1
            raised.append((int(error.code), error.unit, index))
        inputs |= {"code_of": pack(codes, 4), "index_of": pack(indices, INDEX_BITS), **flags}
        inputs |= {
            "semaphore_error": pack(semaphores, 1),
            "semaphore_index": pack(takers, INDEX_BITS),
        }
        inputs |= {"start": pack(start, 1), "start_index": pack(started, INDEX_BITS)}
        for unit in Unit:
            self.owners[unit] = started[unit] if start[unit] else self.owners[unit]
        return inputs, raised

    def _outside(self, bank: int) -> dict[str, int]:
        """LOAD writes beyond a bank."""
        depth, pick = self.sizes[bank], self.generator.choice
        beyond = [1 << bit for bit in range(16) if 1 << bit >= depth]
        address = pick([depth, depth + 1, pick(beyond), self.generator.randrange(depth, 1 << 16)])
        return {"load_write": 1, "load_bank": bank, "load_address": address}

    def _inside(self) -> dict[str, int]:
        """LOAD writes within a bank, or a bank without that rule, or does not write."""
        generator, pick = self.generator, self.generator.choice
        bank = pick([*self.sizes])
        inside = pick([0, self.sizes[bank] - 1, generator.randrange(self.sizes[bank])])
        other = pick([int(known) ^ 1 << generator.randrange(8) for known in self.sizes])
        other = 0 if other in (Bank.PARAMETER, Bank.TABLE) else other
        write, bank, address = pick([(1, bank, inside), (1, other, 0xFFFF), (0, bank, 0xFFFF)])
        return {"load_write": write, "load_bank": bank, "load_address": address}


def exclude(pair: Iterable[Source]) -> bool:
    """Whether two sources are the same input with two values."""
    first, second = pair
    same = first.port == second.port
    return same and (
        first.port in ("load", "fetch") or (first.port, first.place) == ("unit", second.place)
    )


async def expect(
    bench: Bench, model: Machine, errors: Iterable[Source], others: list[Source]
) -> None:
    """Some errors in one cycle: which is kept; later ones change nothing."""
    await bench.cycle({**model.cycle([])[0], "clear": 1})
    inputs, raised = model.cycle(errors)
    for _ in range(1 + machine().fast_clock):  # the tree has a register
        got = await bench.cycle(inputs, OUTPUTS)
        assert (got["code"], got["halt"]) == NONE
        inputs, _ = model.cycle([model.generator.choice(others)])
    got = await bench.cycle(inputs, OUTPUTS)
    lowest, first_unit, _ = min(raised)
    assert (got["code"], got["halt"]) == (lowest, 1), str(errors)
    assert got["index"] in {index for *which, index in raised if which == [lowest, first_unit]}
    if len(raised) == 1:
        assert await bench.cycle(model.cycle([])[0], OUTPUTS) == got


@cocotb.test()
async def alone_and_in_pairs(dut: Any) -> None:
    """Every error alone, often, and every two of them at once."""
    config, generator = machine(), random.Random(parameters()["seed"])
    bench, model, every = Bench(dut), Machine(generator, config), sources(config)
    await bench.start()
    for error in every * 3:
        await expect(bench, model, [error], every)
    for pair in itertools.combinations(every, 2):
        if not exclude(pair):
            await expect(bench, model, pair, every)


@cocotb.test()
async def none(dut: Any) -> None:
    """Nothing is an error while the machine does not run; no limit is no limit; none stays none."""
    config, generator = machine(), random.Random(parameters()["seed"])
    bench, model, every = Bench(dut), Machine(generator, config), sources(config)
    await bench.start()
    await bench.cycle({"clear": 1})
    for error in every:
        inputs, _ = model.cycle([error])
        got = await bench.cycle({**inputs, "running": 0}, OUTPUTS)
        assert got == {"code": ErrorCode.NONE, "halt": 0, "index": NOBODY}
    for _ in range(150):
        assert (await bench.cycle(model.cycle([])[0], OUTPUTS))["halt"] == 0
    for _ in range(4):
        assert (await bench.cycle({"running": 1}, OUTPUTS))["halt"] == 0
