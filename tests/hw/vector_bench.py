"""The vector unit against the scalar reference: every word, every port, every cycle."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import islice, product
from typing import Any

import cocotb

from pulsarray.config import Config
from pulsarray.hw.blocks.ports import INDEX_BITS
from pulsarray.isa import Activation, Bank, Instruction, Opcode, ScaleAction, VectorFlag
from pulsarray.registers import ErrorCode
from pulsarray.stages import vector_latency
from tests.hw.bench import Bench, pack, parameters
from tests.hw.vector_cases import Cases
from tests.hw.vector_reference import Reference

READS = [f"{port}__{part}" for port in "ab" for part in ("enable", "hold", "bank", "address")]
WRITES = [
    f"{port}__{part}"
    for port in ("target", "acc")
    for part in ("enable", "hold", "bank", "address", "data")
]
STATE = ["ready", "active", "stall", "busy", "error"]
COMPLETION = ["complete", "complete_index", "complete_signal"]
OUTPUTS = [*READS, *WRITES, *STATE, *COMPLETION]


class Driver:
    """Starts instructions and holds what each following cycle must show."""

    def __init__(self, dut: Any, seed_offset: int = 0) -> None:
        settings = parameters()
        seed = settings.pop("seed") + seed_offset
        self.config = Config(**settings)
        self.latency = vector_latency(self.config)
        self.cases = Cases(self.config, seed)
        self.reference = Reference(self.config, self.cases.read)
        self.bench = Bench(dut)
        self.expected: dict[int, dict[str, int]] = {}
        self.front = -1  # last cycle of the front's work
        self.last = -1  # last cycle with something to expect
        self.index = 7
        self._read: dict[str, tuple[tuple[int, int] | None, int]] = dict.fromkeys("ab", (None, 0))
        self._asked = {"a": 0, "b": 0}

    async def start(self, rows: int = 8) -> None:
        """Leave reset, and fill the parameter and table banks."""
        config, reference = self.config, self.reference
        await self.bench.start()
        for address in range(4 * min(rows, config.parameter_depth)):
            slots = self.cases.parameter_word()
            reference.parameters[address] = list(slots)
            word = {
                "parameter_write_enable": 1,
                "parameter_write_address": address,
                "parameter_write_data": pack(slots, 8 * config.acc_slot_bytes),
            }
            await self.bench.cycle(word)
            for part in range(1, config.word_cycles):  # the next word's beats come in meanwhile
                slots[: part * config.lanes] = self.cases.parameter_word()[: part * config.lanes]
                data = pack(slots, 8 * config.acc_slot_bytes)
                await self.bench.cycle({"parameter_write_data": data})
        for address in range(config.tables * config.table_planes * config.table_words):
            reference.table[address] = entries = self.cases.table_word()
            word = {
                "table_write_enable": 1,
                "table_write_address": address,
                "table_write_data": pack(entries, config.operand_bits),
            }
            await self.bench.cycle(word)

    def expect(self, cycle: int, **outputs: int) -> None:
        """Outputs in a cycle that are not 0."""
        self.expected.setdefault(cycle, {}).update(outputs)
        self.last = max(self.last, cycle)

    def launch(self, instruction: Instruction) -> dict[str, int]:
        """Inputs that start an instruction now, and all that follows from it."""
        now, self.index = self.bench.now, self.index + 1
        if instruction.op is Opcode.EXPONENT:
            self.reference.exponent(instruction)
            self.front = now + 1
        elif instruction.op is Opcode.SCALE:
            self.front = self._scale(instruction)
        else:
            self.front = self._words(instruction)
        end = (
            now + 1 + self.latency if instruction.op is Opcode.SCALE else self.front + self.latency
        )
        self.expect(
            end, complete=1, complete_index=self.index, complete_signal=instruction["signal"]
        )
        for cycle in range(now + 1, end + 1):
            self.expect(cycle, busy=1, active=int(cycle <= self.front))
        return self.raw(instruction)

    def raw(self, instruction: Instruction) -> dict[str, int]:
        """Inputs that start an instruction in the next cycle."""
        code = int.from_bytes(instruction.encode(), "little")
        return {"start": 1, "instruction": code, "index": self.index}

    def _words(self, instruction: Instruction) -> int:
        bits = {"target": self.config.operand_bits, "acc": self.config.acc_bits}
        first, cycles = self.bench.now + 1, self.config.word_cycles
        for word in self.reference.vector(instruction):
            last = first + cycles - 1
            for port, place in (("a", word.a), ("b", word.b)):
                if place:
                    self._hold(first, port, place[0])
                    self._access(first, port, place)
            for port, place in (("target", word.target), ("acc", word.acc)):
                if place:
                    lanes = word.codes if port == "target" else word.sums
                    data = pack(lanes, bits[port])
                    self._hold(first + self.latency, port, place[0])
                    self._access(last + self.latency, port, place, {f"{port}__data": data})
            first += cycles
        return first - 1

    def _hold(self, first: int, port: str, bank: int) -> None:
        """A word of a bank keeps its port for as long as its parts take."""
        for cycle in range(first, first + self.config.word_cycles):
            self.expect(cycle, **{f"{port}__hold": 1, f"{port}__bank": bank})

    def _scale(self, instruction: Instruction) -> int:
        end, bank, word = (
            self.bench.now + 1 + self.latency,
            instruction["bank"],
            instruction["word"],
        )
        written = self.reference.scale(instruction)
        if written is not None:
            data = {"acc__data": pack(written, self.config.acc_bits)}
            self._access(end, "acc", (bank, word), data)
        elif instruction["action"] == ScaleAction.READ:
            for cycle in range(self.bench.now + 1, end + 1):
                self.expect(cycle, a__hold=1, a__bank=bank)
            self._access(end - 1, "a", (bank, word))
        return end

    def _access(
        self, cycle: int, port: str, place: tuple[int, int], more: dict[str, int] | None = None
    ) -> None:
        bank, address = place
        names = {"enable": 1, "hold": 1, "bank": bank, "address": address}
        self.expect(cycle, **{f"{port}__{name}": n for name, n in names.items()}, **(more or {}))

    async def cycle(self, inputs: dict[str, int] | None = None) -> dict[str, int]:
        """One cycle, with the words that were asked for in the one before; checks it."""
        now = self.bench.now
        got = await self.bench.cycle({**self._words_read(), **(inputs or {})}, OUTPUTS)
        for port, (place, left) in self._read.items():
            self._asked[port] = got[f"{port}__bank"]
            asked = (got[f"{port}__bank"], got[f"{port}__address"])
            again = (place if left > 1 else None, left - 1)
            self._read[port] = (asked, self.config.word_cycles) if got[f"{port}__enable"] else again
        want = dict.fromkeys(OUTPUTS, 0) | self.expected.pop(now, {})
        want["ready"] = int(now >= self.front or "start" in (inputs or {}))
        relevant = [*STATE, *(n for n in OUTPUTS if n.endswith(("enable", "hold", "complete")))]
        for port in ("a", "b", "target", "acc"):
            if want[f"{port}__hold"]:
                relevant.append(f"{port}__bank")
            if want[f"{port}__enable"]:
                relevant += [n for n in OUTPUTS if n.startswith(f"{port}__")]
        relevant += COMPLETION if want["complete"] else []
        wrong = {n: (got[n], want[n]) for n in relevant if got[n] != want[n]}
        assert not wrong, f"cycle {now}: {wrong} (got, expected)"
        return got

    def _words_read(self) -> dict[str, int]:
        """What the banks give; whatever was not asked for is noise."""
        config, noise = self.config, self.cases.random.getrandbits
        words = {}
        for port, (place, _) in self._read.items():
            operand = 0 if self._asked[port] == Bank.NONE else noise(config.acc_bits * config.dim)
            if place:
                raised = 0 if place[0] >= Bank.ACCUMULATOR else 1 << (config.operand_bits - 1)
                lanes = [value + raised for value in self.cases.read(*place)]
                operand = pack(lanes, config.acc_bits)
            words[f"{port}__operand"] = operand
        return words

    async def run(self, instructions: Iterable[Instruction], gaps: Iterable[int]) -> None:
        """Start instructions as early as may be, or some cycles later; then wait for the end."""
        for instruction, gap in zip(instructions, gaps, strict=True):
            while self.bench.now < self.front + gap:
                await self.cycle()
            text = instruction.text()
            try:
                await self.cycle(self.launch(instruction))
            except AssertionError as error:
                raise AssertionError(f"at the start of {text}: {error}") from None
        while self.bench.now <= self.last + 2:
            await self.cycle()


@cocotb.test()
async def random_instructions(dut: Any) -> None:
    """Any instructions, with and without cycles between them."""
    driver = Driver(dut)
    await driver.start()
    for _ in range(80):
        cases, choice = driver.cases, driver.cases.random.choice
        batch = cases.batch()
        try:
            await driver.run(batch, [choice([0, 0, 1, 5]) for _ in batch])
        except AssertionError as error:
            texts = "\n".join(i.text() for i in batch)
            raise AssertionError(f"{error}\n{texts}\n{driver.reference.registers}") from None


@cocotb.test()
async def wrong_fields(dut: Any) -> None:
    """BAD_FIELD in the cycle of the start, with its index; after a clear the unit works again."""
    driver = Driver(dut, 1000)
    await driver.start()
    for number in range(250):
        driver.index += 1
        wrong = driver.cases.wrong()
        got = await driver.bench.cycle(driver.raw(wrong), ["error", "error_index"])
        assert got == {"error": ErrorCode.BAD_FIELD, "error_index": driver.index}, wrong.text()
        await driver.bench.cycle({"halt": 1})
        await driver.bench.cycle({"halt": 1, "clear": 1})
        driver.reference.clear()
        driver.front = driver.last = driver.bench.now
        driver.expected.clear()
        if number % 8 == 0:
            await driver.run([driver.cases.vector()], [0])


@cocotb.test()
async def rows_outside(dut: Any) -> None:
    """A row beyond the parameter bank is ADDRESS in its own cycle, if it is used."""
    driver = Driver(dut, 2000)
    await driver.start()
    depth = driver.config.parameter_depth
    fields = {"a_bank": 0, "target_bank": 1, "parameter": depth - 1, "parameter_step": 1}
    for flag in (VectorFlag.BIAS, VectorFlag.LANE_SCALE, VectorFlag.B_LANE, VectorFlag(0)):
        instruction = Instruction.make(
            Opcode.VECTOR, flags=flag, count0=2, **{f"count{i}": 1 for i in (1, 2, 3)}, **fields
        )
        driver.index += 1
        errors, parts = [], [{}] * (driver.config.word_cycles - 1)
        for inputs in (driver.raw(instruction), {}, *parts, driver.raw(instruction), {}):
            got = await driver.bench.cycle(inputs, ["error", "error_index"])
            errors.append(got["error"])
            assert not got["error"] or got["error_index"] == driver.index
        outside = ErrorCode.ADDRESS if flag else 0
        assert errors == [0, 0, *(0 for _ in parts), outside, 0]
        await driver.bench.cycle({"clear": 1})


@cocotb.test()
async def halt_stops(dut: Any) -> None:
    """No word is issued from the cycle of ``halt`` on, and a clear forgets those on the way."""
    driver = Driver(dut, 3000)
    await driver.start()
    fields = {"a_bank": 0, "target_bank": 1, "count0": 20}
    instruction = Instruction.make(Opcode.VECTOR, **fields)
    await driver.bench.cycle(driver.raw(instruction))
    parts = driver.config.word_cycles
    issued = [await driver.bench.cycle({}, ["a__enable"]) for _ in range(3 * parts)]
    assert [got["a__enable"] for got in issued] == [int(i % parts == 0) for i in range(3 * parts)]
    got = await driver.bench.cycle({"halt": 1}, ["a__enable"])
    assert not got["a__enable"]
    await driver.bench.cycle({"halt": 1, "clear": 1})
    driver.front = driver.bench.now
    for _ in range(20):
        await driver.cycle()


@cocotb.test()
async def loops(dut: Any) -> None:
    """Addresses of words in loops too long to see the end of, and at the end of long ones."""
    driver = Driver(dut, 6000)
    random, bench, parts = driver.cases.random, driver.bench, driver.config.word_cycles
    await bench.start()
    for number in range(16):
        counts = [random.choice([1, (1 << random.randrange(2, 16)) + number % 3]) for _ in range(4)]
        instruction = walk(driver, counts)
        await bench.cycle(driver.raw(instruction))
        for index in islice(product(*map(range, counts)), 5):
            await at_word(driver, instruction, index, parts)
        await bench.cycle({"halt": 1, "clear": 1})
    for level, outer in enumerate((1, 2, 3, 2)):
        counts = [1, 1, 1, 1]
        counts[level - 1] = outer
        counts[level] = random.randrange(150, 300)
        driver.index = random.getrandbits(INDEX_BITS)
        instruction = walk(driver, counts)
        await bench.cycle(driver.raw(instruction))
        await bench.skip((math.prod(counts) - 2) * parts, {})
        for last in (counts[level] - 2, counts[level] - 1):
            index = [count - 1 for count in counts[:level]] + [last] + [0] * (3 - level)
            await at_word(driver, instruction, index, parts)
        await bench.skip(driver.latency - 1, {})
        got = await bench.cycle({}, OUTPUTS)
        assert (got["complete"], got["complete_index"], got["active"]) == (1, driver.index, 0)
        assert got["target__address"] == address(instruction, "target", index)


def walk(driver: Driver, counts: list[int]) -> Instruction:
    """A VECTOR of two sources with any addresses and strides."""
    wide = driver.cases.random.getrandbits
    fields = {f"count{level}": count for level, count in enumerate(counts)}
    for name in ("a", "b", "target"):
        fields[name] = wide(16)
        fields |= {f"{name}_stride{level}": wide(16) - (1 << 15) for level in range(4)}
    banks = {"a_bank": 0, "b_bank": int(Bank.ACCUMULATOR), "target_bank": 1}
    return Instruction.make(Opcode.VECTOR, **banks, **fields)


def address(instruction: Instruction, name: str, index: Iterable[int]) -> int:
    """Where a source's or destination's word is."""
    steps = (n * instruction[f"{name}_stride{level}"] for level, n in enumerate(index))
    return (instruction[name] + sum(steps)) % (1 << 16)


async def at_word(
    driver: Driver, instruction: Instruction, index: Iterable[int], parts: int
) -> None:
    """The word at these indices is issued now."""
    index = list(index)
    outputs = ["a__enable", "a__address", "b__address", "active"]
    got = await driver.bench.cycle({}, outputs)
    where = [address(instruction, name, index) for name in ("a", "b")]
    assert [got[name] for name in outputs] == [1, *where, 1]
    await driver.bench.skip(parts - 1, {})


@cocotb.test()
async def scale_stops(dut: Any) -> None:
    """A SCALE on its way reads nothing after a halt and is forgotten by a clear, as is all else."""
    driver = Driver(dut, 4000)
    if not driver.config.training:
        return
    await driver.start()
    for action in ScaleAction:
        for cycles in range(1, driver.latency + 1):
            instruction = Instruction.make(Opcode.SCALE, action=action, register=1)
            await driver.bench.cycle(driver.raw(instruction))
            for _ in range(cycles):
                await driver.bench.cycle({})
            await driver.bench.cycle({"halt": 1, "clear": 1})
            driver.front = driver.bench.now
            for _ in range(driver.latency + 2):
                await driver.cycle()
    await driver.bench.cycle(driver.raw(Instruction.make(Opcode.SCALE)))
    for _ in range(driver.latency + 1):
        assert not (await driver.bench.cycle({"halt": 1}, ["a__enable"]))["a__enable"]
    await driver.bench.cycle({"halt": 1, "clear": 1})
    driver.front = driver.bench.now
    write = Instruction.make(Opcode.SCALE, action=ScaleAction.WRITE, register=1)
    await driver.run([write], [0])


@cocotb.test()
async def statistic_edges(dut: Any) -> None:
    """Magnitudes around powers of two, and sums around the limit, in a lane that counts or not."""
    driver = Driver(dut, 5000)
    if not driver.config.training:
        return
    await driver.start()
    note, after = VectorFlag.STATISTIC, VectorFlag.STATISTIC | VectorFlag.SUB_AFTER
    edges = [1 << size for size in range(driver.config.acc_bits - 1)]
    cases = [(note, 0, value) for edge in edges for value in (-edge, edge - 1, -edge - 1, edge)]
    limits = [limit + more for limit in (0x7F << 24, -(0x7F << 24), 1 << 31) for more in (-1, 0, 1)]
    cases += [(after, value, 0) for limit in limits for value in (limit, -limit)]
    while cases:
        await driver.run(*note_all(driver, [cases.pop() for _ in range(min(60, len(cases)))]))


def note_all(
    driver: Driver, cases: list[tuple[VectorFlag, int, int]]
) -> tuple[list[Instruction], list[int]]:
    """A VECTOR for each case, with a register of its own; then the registers are looked at."""
    bank, dim = int(Bank.ACCUMULATOR), driver.config.dim
    work = []
    for number, (flags, c, a) in enumerate(cases):
        driver.cases.words |= {(bank + 1, number): [c] * dim, (bank, number): [0] * (dim - 1) + [a]}
        fields = {"a_bank": bank, "a": number, "acc_bank": bank, "flags": int(flags)}
        if flags & VectorFlag.SUB_AFTER:
            fields |= {"b_bank": bank + 1, "b": number}
        else:
            fields["activation"] = [Activation.NARROW, Activation.RECIPROCAL][number % 2]
        fields["last_lanes"] = driver.cases.random.choice([0, 0, dim - 1])
        work.append(Instruction.make(Opcode.VECTOR, x_target=1 + number, **fields))
    for action in (ScaleAction.WRITE, ScaleAction.READ):
        for register in range(1, 1 + len(cases), dim):
            work.append(Instruction.make(Opcode.SCALE, action=action, register=register, bank=bank))
    return work, [0] * len(work)
