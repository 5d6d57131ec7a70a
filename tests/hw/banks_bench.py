"""Banks against arrays of words: reads, writes, sums that add up, and both kinds of errors."""

from __future__ import annotations

import random
from typing import Any

import cocotb

from pulsarray.config import Config
from pulsarray.hw.blocks.ports import INDEX_BITS
from pulsarray.isa import Bank, Unit
from tests.hw.bench import Bench, machine, pack, parameters, unpack
from tests.hw.targets import target_word

READERS = {
    "weight": Unit.WEIGHT,
    "stream": Unit.STREAM,
    "vector_a": Unit.VECTOR,
    "vector_b": Unit.VECTOR,
    "store": Unit.STORE,
}
WRITERS = {"load": Unit.LOAD, "vector": Unit.VECTOR}
ONLY_WORDS = ("weight", "stream")
OPERANDS = ("vector_a", "vector_b")
OUTPUTS = (
    *("address_error", "target_error", "target_index", "conflict"),
    *(f"{name}__word" for name in READERS if name not in OPERANDS),
    *(f"{name}__operand" for name in OPERANDS),
    "store__sums",
)


class Target:
    """STREAM's sums: instructions of some words each, with gaps, on one bank each."""

    def __init__(self, generator: random.Random, config: Config) -> None:
        self.generator, self.config = generator, config
        self.left = 0
        self.bank = 0
        # What is on its way to be written, next one first.
        self.line: list[tuple[dict[str, int], list[int]] | None] = [None] * (
            1 + 2 * config.fast_clock
        )
        self.held: set[int] = set()
        self.index = 0  # of the instruction whose sums came last

    def cycle(self) -> tuple[dict[str, int], tuple[dict[str, int], list[int]] | None]:
        """Inputs of this cycle, and the sums whose turn to be written it is."""
        pick, config = self.generator.choice, self.config
        writing, *rest = self.line
        self.held = {parts["bank"] for parts, _ in filter(None, self.line)}
        self.line = [*rest, None]
        first = not self.left and self.generator.randrange(3) == 0
        if first:
            self.left = self.generator.randint(1, 12)
            self.number = self.generator.getrandbits(INDEX_BITS)
            self.bank = Bank.ACCUMULATOR + self.generator.randrange(config.accumulator_banks)
        if not self.left:
            return {"target": self.generator.getrandbits(60)}, writing
        self.held.add(self.bank)
        if not first and self.generator.randrange(4) == 0:
            return {"target": self.generator.getrandbits(60)}, writing
        self.left -= 1
        depth = config.accumulator_depth
        address = pick([0, 1, depth - 1, pick([0, depth, 0xFFFF])])
        parts = {"bank": self.bank, "address": address, "last": not self.left}
        parts["index"] = self.index = self.number
        parts |= {"write": pick([0, 1, 1, 1]), "fresh": pick([0, 0, 0, 1])}
        half = 1 << (config.psum_bits - 1)
        sums = [pick([-half, half - 1, self.generator.randrange(-half, half)]) for _ in self.lanes]
        self.line[-1] = parts, sums
        inputs = {"sums_valid": 1, "target": target_word(parts)}
        return {**inputs, "sums": pack(sums, config.psum_bits)}, writing

    @property
    def lanes(self) -> range:
        """Lanes of a word."""
        return range(self.config.dim)


class Memories:
    """What every bank holds."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.words: dict[tuple[int, int], list[int]] = {}

    def depth(self, bank: int) -> int:
        """Words of a bank."""
        config = self.config
        return config.scratchpad_depth if bank < Bank.ACCUMULATOR else config.accumulator_depth

    def bits(self, bank: int) -> int:
        """Width of a lane."""
        return self.config.operand_bits if bank < Bank.ACCUMULATOR else self.config.acc_bits

    def read(self, bank: int, address: int) -> list[int]:
        """A word; all are 0 at first."""
        return self.words.get((bank, address), [0] * self.config.dim)

    def write(self, bank: int, address: int, values: list[int]) -> None:
        """Store a word."""
        self.words[bank, address] = values

    def add(self, parts: dict[str, int], sums: list[int]) -> None:
        """Store sums, or add them to what is there."""
        bank, address = parts["bank"], parts["address"]
        if not parts["write"] or address >= self.depth(bank):
            return
        old = [0] * len(sums) if parts["fresh"] else self.read(bank, address)
        half = 1 << (self.config.acc_bits - 1)
        added = [(a + b + half) % (2 * half) - half for a, b in zip(old, sums, strict=True)]
        self.write(bank, address, added)


class Traffic:
    """Requests of everybody, each bank's ports asked for by one unit at most."""

    def __init__(self, generator: random.Random, config: Config) -> None:
        self.generator, self.config = generator, config
        self.memories = Memories(config)
        self.target = Target(generator, config)
        self.answers: dict[str, int] = {}

    def cycle(self) -> tuple[dict[str, int], dict[str, int]]:
        """Inputs and expected outputs of a cycle."""
        memories = self.memories
        expected = {"conflict": 0, "target_error": 0, **self.answers}
        inputs, writing = self.target.cycle()
        errors = 0
        for parts, _ in filter(None, (writing, self.target.line[-1])):
            outside = parts["address"] >= self.config.accumulator_depth
            expected["target_error"] |= int(parts["write"] and outside)
        if self.target.held:
            expected["target_index"] = self.target.index
        self.answers, writes = {}, []
        for name, bank in self._share(list(READERS)).items():
            address = self._address(bank)
            inputs |= self._request(name, bank, address)
            if address >= memories.depth(bank):
                errors |= 1 << READERS[name]
                continue
            kind, bits = "word" if bank < Bank.ACCUMULATOR else "sums", memories.bits(bank)
            if name in OPERANDS:
                kind, bits = "operand", memories.config.acc_bits
            half = 1 << (memories.config.operand_bits - 1)
            raised = half if kind == "operand" and bank < Bank.ACCUMULATOR else 0
            lanes = [value + raised for value in memories.read(bank, address)]
            self.answers[f"{name}__{kind}"] = pack(lanes, bits)
        for name, bank in self._share(list(WRITERS)).items():
            address = self._address(bank)
            half = 1 << (memories.bits(bank) - 1)
            values = [self.generator.randrange(-half, half) for _ in self.target.lanes]
            port = f"{name}_{'word' if bank < Bank.ACCUMULATOR else 'sums'}"
            inputs |= self._request(port, bank, address)
            inputs[f"{port}__data"] = pack(values, memories.bits(bank))
            if address >= memories.depth(bank):
                errors |= 1 << len(Unit) + WRITERS[name]
            else:
                writes.append((bank, address, values))
        for write in writes:
            memories.write(*write)
        if writing:
            memories.add(*writing)
        return inputs, {**expected, "address_error": errors}

    def _share(self, names: list[str]) -> dict[str, int]:
        """Some of the units, each with a bank of its own that STREAM's target does not hold."""
        config, shared = self.config, {}
        sums = range(Bank.ACCUMULATOR, Bank.ACCUMULATOR + config.accumulator_banks)
        free = [*range(config.scratchpad_banks), *(set(sums) - self.target.held)]
        self.generator.shuffle(free)
        for name in names:
            allowed = [b for b in free if b < Bank.ACCUMULATOR or name not in ONLY_WORDS]
            if allowed and self.generator.randrange(3):
                shared[name] = allowed[0]
                free.remove(allowed[0])
        return shared

    def _address(self, bank: int) -> int:
        depth = self.memories.depth(bank)
        beyond = self.generator.choice([depth, 0xFFFF, 1 << 15])
        return self.generator.choice([0, 0, 1, 1, depth - 2, depth - 1, beyond])

    def _request(self, port: str, bank: int, address: int) -> dict[str, int]:
        values = {"enable": 1, "bank": bank, "address": address, "hold": 1}
        return {f"{port}__{name}": value for name, value in values.items()}


@cocotb.test()
async def words(dut: Any) -> None:
    """Random traffic on few addresses, then every word of every bank."""
    config, generator = machine(), random.Random(parameters()["seed"])
    bench = Bench(dut)
    await bench.start()
    traffic = Traffic(generator, config)
    for number in range(1200):
        inputs, expected = traffic.cycle()
        got = await bench.cycle(inputs, OUTPUTS)
        for name, value in expected.items():
            assert got[name] == value, f"cycle {number}: {name} is {got[name]:x}, not {value:x}"
    for sums in filter(None, traffic.target.line):
        traffic.memories.add(*sums)
    for _ in traffic.target.line:
        await bench.cycle()
    memories = traffic.memories
    accumulators = range(Bank.ACCUMULATOR, Bank.ACCUMULATOR + config.accumulator_banks)
    for bank in (*range(config.scratchpad_banks), *accumulators):
        kind = "store__word" if bank < Bank.ACCUMULATOR else "store__sums"
        for address in range(memories.depth(bank)):
            await bench.cycle({"store__enable": 1, "store__bank": bank, "store__address": address})
            got = await bench.cycle({}, [kind])
            values = unpack(got[kind], memories.bits(bank), config.dim)
            assert values == memories.read(bank, address), f"bank {bank}, word {address}"


def collisions(held: dict[tuple[str, int], set[Unit]]) -> int:
    """One bit for each unit that holds a port that a unit before it holds: reads, then writes."""
    mask = 0
    for (port, _), units in held.items():
        place = len(Unit) * (port == "write")
        for unit in units:
            mask |= int(any(other < unit for other in units)) << place + unit
    return mask


@cocotb.test()
async def conflicts(dut: Any) -> None:
    """Whoever holds a port that a unit before it holds is named."""
    config, generator = machine(), random.Random(parameters()["seed"])
    bench = Bench(dut)
    await bench.start()
    await bench.cycle({"clear": 1})
    target = Target(generator, config)
    banks = [0, 1, Bank.ACCUMULATOR, Bank.ACCUMULATOR + 1]
    for number in range(400):
        inputs, _ = target.cycle()
        held: dict[tuple[str, int], set[Unit]] = {}
        for bank in target.held:
            held["read", bank] = {Unit.STREAM}
            held["write", bank] = {Unit.STREAM}
        for name, unit in READERS.items():
            bank = generator.choice(banks[:2] if name in ONLY_WORDS else banks)
            if generator.randrange(3) == 0:
                inputs |= {f"{name}__bank": bank, f"{name}__hold": 1}
                held.setdefault(("read", bank), set()).add(unit)
        for name, unit in WRITERS.items():
            bank = generator.choice(banks)
            port = f"{name}_{'word' if bank < Bank.ACCUMULATOR else 'sums'}"
            if generator.randrange(3) == 0:
                inputs |= {f"{port}__bank": bank, f"{port}__hold": 1}
                held.setdefault(("write", bank), set()).add(unit)
        got = await bench.cycle(inputs, ["conflict"])
        assert got["conflict"] == collisions(held), f"cycle {number}: {held}"


@cocotb.test()
async def clear_forgets(dut: Any) -> None:
    """Sums on their way when ``clear`` is given are not written, and nothing is held."""
    bench = Bench(dut)
    await bench.start()
    bank = int(Bank.ACCUMULATOR)
    parts = {"bank": bank, "address": 5, "write": 1, "fresh": 1}
    lost = {"sums_valid": 1, "target": target_word(parts), "sums": 1}
    await bench.cycle({**lost, "clear": 1})
    hold = {"store__hold": 1, "store__bank": bank, "load_sums__hold": 1, "load_sums__bank": bank}
    got = await bench.cycle(hold, ["conflict"])
    assert got["conflict"] == 0
    read = {"store__enable": 1, "store__bank": bank, "store__address": 5}
    await bench.cycle(read)
    assert (await bench.cycle({}, ["store__sums"]))["store__sums"] == 0
