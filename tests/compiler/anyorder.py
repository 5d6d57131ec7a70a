"""A slow machine that runs a program's units in any order that its semaphores allow.

Only what the compiler emits is implemented. Each instruction is one atomic step (STREAM one step a
pass), and a random unit takes the next step: if a semaphore were missing, some order would show.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import product

import numpy as np

from pulsarray.isa import Activation, Bank, Instruction, Opcode, StreamFlag, Unit, VectorFlag
from pulsarray.program import Program


class AnyOrder:
    """Memory, banks, and five units in a random order given by a seed."""

    def __init__(self, program: Program, seed: int) -> None:
        config = self.config = program.config
        self.rng = np.random.default_rng(seed)
        self.memory = program.memory.copy()
        self.semaphores = [0] * 16
        self.tiles: deque[np.ndarray] = deque()
        self.active = np.zeros((config.dim, config.dim), np.int64)
        lanes = config.word_bytes
        junk = self.rng.integers
        self.banks = {b: junk(-99, 99, (config.scratchpad_depth, lanes))
                      for b in range(config.scratchpad_banks)}  # fmt: skip
        for b in range(config.accumulator_banks):
            self.banks[Bank.ACCUMULATOR + b] = junk(-99, 99, (config.accumulator_depth, lanes))
        self.banks[Bank.PARAMETER] = junk(-99, 99, (4 * config.parameter_depth, lanes))
        words = max(1, config.tables * config.table_words)
        self.banks[Bank.TABLE] = junk(-99, 99, (words, lanes))
        self.queues: dict[Unit, deque[Instruction]] = {unit: deque() for unit in Unit}
        for instruction in program.instructions:
            if instruction.format.unit is not None:
                self.queues[instruction.format.unit].append(instruction)
        self.running: dict[Unit, Iterator[bool]] = {}

    def run(self) -> np.ndarray:
        """Final memory; fails if nothing can proceed."""
        while any(self.queues.values()) or self.running:
            for number in self.rng.permutation(len(Unit)):
                if self._step(Unit(int(number))):
                    break
            else:
                raise AssertionError("deadlock")
        assert not any(self.semaphores)
        assert not self.tiles
        return self.memory

    def _step(self, unit: Unit) -> bool:
        if unit not in self.running:
            queue = self.queues[unit]
            if not queue or not self._take(queue[0]["wait"]):
                return False
            self.running[unit] = self._work(queue.popleft())
        try:
            return next(self.running[unit])
        except StopIteration:
            del self.running[unit]
            return True

    def _take(self, mask: int) -> bool:
        wanted = [k for k in range(16) if mask >> k & 1]
        if any(not self.semaphores[k] for k in wanted):
            return False
        for k in wanted:
            self.semaphores[k] -= 1
        return True

    def _work(self, i: Instruction) -> Iterator[bool]:
        yield from {
            Opcode.LOAD: self._transfer,
            Opcode.STORE: self._transfer,
            Opcode.WEIGHT: self._weight,
            Opcode.STREAM: self._stream,
            Opcode.VECTOR: self._vector,
        }[i.op](i)
        for k in range(16):
            self.semaphores[k] += i["signal"] >> k & 1

    def _transfer(self, i: Instruction) -> Iterator[bool]:
        wide = Bank.ACCUMULATOR <= i["bank"] <= Bank.PARAMETER
        size, kind = (4, "<i4") if wide else (1, "i1")
        word = size * self.config.word_bytes
        for i0, i1, r in product(range(i["count0"]), range(i["count1"]), range(i["run"])):
            local = i["local"] + i0 * i["local_stride0"] + i1 * i["local_stride1"] + r
            steps = i0 * i["memory_stride0"] + i1 * i["memory_stride1"]
            address = i["address"] + self.config.word_bytes * steps + word * r
            place = self.memory[address : address + word].view(kind)
            assert local >= 0
            if i.op is Opcode.LOAD:
                self.banks[i["bank"]][local] = place
            else:
                place[:] = self.banks[i["bank"]][local]
        yield True

    def _weight(self, i: Instruction) -> Iterator[bool]:
        dim, limit = self.config.dim, i["row_limit"]
        for i0, i1 in product(range(i["count0"]), range(i["count1"])):
            tile = np.zeros((dim, dim), np.int64)
            for r in range(dim):
                row = i["row_start"] + i0 * i["row_step0"] + i1 * i["row_step1"] + r
                local = i["local"] + i0 * i["stride0"] + i1 * i["stride1"] + r * i["row_stride"]
                if row >= 0 and (limit == 0xFFFF or row < limit):
                    tile[r] = self.banks[i["bank"]][local][:dim]
            self.tiles.append(tile)
        yield True

    def _stream(self, i: Instruction) -> Iterator[bool]:
        dim = self.config.dim
        assert i["inner"] == 1
        source, target = self.banks[i["source_bank"]], self.banks[i["target_bank"]]
        for outer in product(*(range(i[f"count{k}"]) for k in range(4))):
            if not i["flags"] & StreamFlag.KEEP:
                while not self.tiles:
                    yield False
                self.active = self.tiles.popleft()
            for row in range(i["count4"]):
                index = (*outer, row)
                a = i["source"] + sum(n * i[f"source_stride{k}"] for k, n in enumerate(index))
                b = i["target"] + sum(n * i[f"target_stride{k}"] for k, n in enumerate(index))
                sums = source[a][:dim] @ self.active
                first = all(not n for k, n in enumerate(index) if i["fresh"] >> k & 1)
                if first and not i["flags"] & StreamFlag.ACCUMULATE:
                    target[b] = 0
                target[b][:dim] += sums
            yield True

    def _vector(self, i: Instruction) -> Iterator[bool]:
        dim = self.config.dim
        for index in product(*(range(i[f"count{k}"]) for k in range(4))):
            a = i["a"] + sum(n * i[f"a_stride{k}"] for k, n in enumerate(index))
            t = i["target"] + sum(n * i[f"target_stride{k}"] for k, n in enumerate(index))
            values = [int(v) for v in self.banks[i["a_bank"]][a][:dim]]
            row = 4 * (i["parameter"] + index[0] * i["parameter_step"])
            lanes = i["last_lanes"] if index[0] == i["count0"] - 1 and i["last_lanes"] else dim
            word = np.zeros(self.config.word_bytes, np.int64)
            for lane in range(lanes):
                word[lane] = self._lane(i, values[lane], row, lane)
            self.banks[i["target_bank"]][t] = word
        yield True

    def _lane(self, i: Instruction, value: int, row: int, lane: int) -> int:
        multiplier, shift = i["multiplier"], i["shift"]
        if i["flags"] & VectorFlag.LANE_SCALE:
            constants = self.banks[Bank.PARAMETER]
            multiplier, shift = int(constants[row + 1][lane]), int(constants[row + 2][lane])
        if i["flags"] & VectorFlag.BIAS:
            value += int(self.banks[Bank.PARAMETER][row][lane])
        value *= multiplier
        if shift >= 0:
            quotient, rest = value >> shift, value & ((1 << shift) - 1)
            half = (1 << shift) >> 1
            value = quotient + (rest > half or (rest == half and half > 0 and quotient & 1))
        else:
            value <<= -shift
        code = min(max(value + i["zero_target"], i["low"]), i["high"])
        if i["activation"] == Activation.TABLE:
            words = self.banks[Bank.TABLE].reshape(-1)
            code = int(
                words[i["table"] * self.config.table_words * self.config.word_bytes + code + 128]
            )
        return code
