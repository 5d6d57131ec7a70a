"""The machine in plain integers, a word and a lane at a time, from docs/machine.md alone."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator
from itertools import product
from random import Random

from pulsarray.config import Config
from pulsarray.isa import Bank, Instruction, Opcode, StreamFlag, WeightFlag
from pulsarray.program import Program
from tests.hw.vector_reference import Reference, signed

Lanes = list[int]


class Machine:
    """Banks and memory; each method executes one instruction."""

    def __init__(self, config: Config, memory: bytes) -> None:
        self.config, self.dim = config, config.dim
        self.memory = bytearray(memory)
        self.words: defaultdict[tuple[int, int], Lanes]
        self.words = defaultdict(lambda: [0] * self.dim)
        self.vector_unit = Reference(config, lambda bank, row: self.words[bank, row])
        self.tiles: deque[list[Lanes]] = deque()
        self.active = [[0] * self.dim for _ in range(self.dim)]

    def transfers(self, i: Instruction) -> Iterator[tuple[int, int, int]]:
        """Word of the bank, byte address and bytes of every word."""
        size = self.config.word_bytes
        word = 4 * size if 0x40 <= i["bank"] <= 0x80 else size
        for i0, i1 in product(range(i["count0"]), range(i["count1"])):
            start = i["address"] + size * (i0 * i["memory_stride0"] + i1 * i["memory_stride1"])
            local = i["local"] + i0 * i["local_stride0"] + i1 * i["local_stride1"]
            for w in range(i["run"]):
                yield (local + w) % (1 << 16), start + w * word, word

    def load(self, i: Instruction) -> None:
        bank, config = i["bank"], self.config
        for row, address, size in self.transfers(i):
            data = self.memory[address : address + size]
            if bank < 0x40:
                lanes = split(data, config.operand_bytes)
                self.words[bank, row] = [signed(v, config.operand_bits) for v in lanes[: self.dim]]
            elif bank < 0x80:
                lanes = split(data, config.acc_slot_bytes)[: self.dim]
                self.words[bank, row] = [signed(v, config.acc_bits) for v in lanes]
            elif bank == Bank.PARAMETER:
                lanes = split(data, config.acc_slot_bytes)[: self.dim]
                self.vector_unit.parameters[row] = lanes
            else:
                self.vector_unit.table[row] = split(data, config.operand_bytes)

    def store(self, i: Instruction) -> None:
        for row, address, size in self.transfers(i):
            part = self.config.acc_slot_bytes if i["bank"] >= 0x40 else self.config.operand_bytes
            lanes = self.words[i["bank"], row]
            data = b"".join(v.to_bytes(part, "little", signed=True) for v in lanes)
            self.memory[address : address + size] = data.ljust(size, b"\0")

    def weight(self, i: Instruction) -> None:
        for i0, i1 in product(range(i["count0"]), range(i["count1"])):
            tile = []
            for r in range(self.dim):
                number = i["row_start"] + i0 * i["row_step0"] + i1 * i["row_step1"] + r
                row = i["local"] + i0 * i["stride0"] + i1 * i["stride1"] + r * i["row_stride"]
                limit = 1 << 16 if i["row_limit"] == 0xFFFF else i["row_limit"]
                read = 0 <= number < limit
                tile.append(self.words[i["bank"], row % (1 << 16)] if read else [0] * self.dim)
            if i["flags"] & WeightFlag.TRANSPOSE:
                tile = [[tile[r][c] for r in range(self.dim)] for c in range(self.dim)]
            self.tiles.append([list(row) for row in tile])

    def stream(self, i: Instruction) -> None:
        counts = [i[f"count{level}"] for level in range(5)]
        outer = 5 - i["inner"]
        for start in product(*map(range, counts[:outer])):
            if not i["flags"] & StreamFlag.KEEP:
                self.active = self.tiles.popleft()
            indices = [(*start, *rest) for rest in product(*map(range, counts[outer:]))]
            words = [self._streamed(i, index) for index in indices]
            if i["flags"] & StreamFlag.TRANSPOSE:
                words = [
                    [words[first + c][r] for c in range(self.dim)]
                    for first in range(0, len(words), self.dim)
                    for r in range(self.dim)
                ]
            for index, word in zip(indices, words, strict=True):
                self._sum(i, index, word)

    def _inside(self, i: Instruction, index: tuple[int, ...]) -> bool:
        places = [
            signed(i[f"{a}_start"] + dot(index, [i[f"{a}_step{n}"] for n in range(5)]), 16)
            for a in ("row", "column")
        ]
        return 0 <= places[0] < i["row_limit"] and 0 <= places[1] < i["column_limit"]

    def _streamed(self, i: Instruction, index: tuple[int, ...]) -> Lanes:
        if i["flags"] & StreamFlag.WINDOW_READ and not self._inside(i, index):
            return [i["pad"]] * self.dim
        row = i["source"] + dot(index, [i[f"source_stride{n}"] for n in range(5)])
        return self.words[i["source_bank"], row % (1 << 16)]

    def _sum(self, i: Instruction, index: tuple[int, ...], word: Lanes) -> None:
        if i["flags"] & StreamFlag.WINDOW_WRITE and not self._inside(i, index):
            return
        row = i["target"] + dot(index, [i[f"target_stride{n}"] for n in range(5)])
        place = (i["target_bank"], row % (1 << 16))
        fresh = all(not index[n] for n in range(5) if i["fresh"] >> n & 1)
        overwrite = fresh and not i["flags"] & StreamFlag.ACCUMULATE
        old = [0] * self.dim if overwrite else self.words[place]
        self.words[place] = [
            signed(
                old[c] + sum(word[r] * self.active[r][c] for r in range(self.dim)),
                self.config.acc_bits,
            )
            for c in range(self.dim)
        ]

    def vector(self, i: Instruction) -> None:
        for word in self.vector_unit.vector(i):
            if word.target is not None:
                self.words[word.target] = word.codes
            if word.acc is not None:
                self.words[word.acc] = word.sums

    def exponent(self, i: Instruction) -> None:
        self.vector_unit.exponent(i)

    def scale(self, i: Instruction) -> None:
        written = self.vector_unit.scale(i)
        if written is not None:
            self.words[i["bank"], i["word"]] = written


def split(data: bytes | bytearray, size: int) -> Lanes:
    """Little-endian numbers of so many bytes, not signed."""
    return [int.from_bytes(data[k : k + size], "little") for k in range(0, len(data), size)]


def dot(index: tuple[int, ...], steps: list[int]) -> int:
    """Sum of index times step."""
    return sum(n * step for n, step in zip(index, steps, strict=True))


def run(program: Program, order: Random) -> bytes:
    """Memory after a program whose units take turns in a random order."""
    machine = Machine(program.config, program.memory.tobytes())
    queues: defaultdict[int, deque[Instruction]] = defaultdict(deque)
    for instruction in program.instructions:
        if instruction.format.unit is not None:
            queues[instruction.format.unit].append(instruction)
    counts = [0] * 16
    while ready := [q for q in queues.values() if q and can_start(q[0], counts, machine)]:
        instruction = order.choice(ready).popleft()
        for k in range(16):
            counts[k] += (instruction["signal"] >> k & 1) - (instruction["wait"] >> k & 1)
        getattr(machine, instruction.op.name.lower())(instruction)
    assert not any(queues.values()), "deadlock"
    return bytes(machine.memory)


def can_start(i: Instruction, counts: list[int], machine: Machine) -> bool:
    """Whether its semaphores and its tiles are there."""
    if any(i["wait"] >> k & 1 and not counts[k] for k in range(16)):
        return False
    if i.op is not Opcode.STREAM or i["flags"] & StreamFlag.KEEP:
        return True
    passes = 1
    for level in range(5 - i["inner"]):
        passes *= i[f"count{level}"]
    return passes <= len(machine.tiles)
