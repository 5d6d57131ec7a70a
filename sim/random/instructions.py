"""Random single instructions, each legal by itself on a given configuration.

Every draw gives the fields and the words that the instruction touches, or None where the drawn
shape does not fit (the caller draws again).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pulsarray.config import EXPONENTS, Config
from pulsarray.isa import (
    Activation,
    Alu,
    Bank,
    Opcode,
    Reduce,
    ScaleAction,
    StreamFlag,
    VectorFlag,
    WeightFlag,
)
from pulsarray.model.uses import MEMORY
from pulsarray.parts import vector_flags
from pulsarray.sim.random.ordering import Use

__all__ = ["Draw"]

Words = npt.NDArray[np.int64]
_NEEDS_MULTIPLIER = (Alu.MUL, Alu.DSIGMOID, Alu.DTANH)
_NEEDS_TABLE = (Activation.TABLE, Activation.EXP, Activation.RECIPROCAL)
_AFTER = (VectorFlag.ADD_AFTER, VectorFlag.SUB_AFTER)


def _nest(counts: Sequence[int], steps: Sequence[int]) -> Words:
    """Sum of index times step over a loop nest, in order, flat."""
    total = np.zeros(1, np.int64)
    for count, step in zip(counts, steps, strict=True):
        total = (total[:, None] + np.arange(count) * step).reshape(-1)
    return total


@dataclass(frozen=True)
class Draw:
    """Random instructions for one configuration.

    Parameters
    ----------
    config
        The machine.
    random
        Source of randomness.
    data_bytes
        Size of the memory that LOAD and STORE may touch, from address 0.
    """

    config: Config
    random: np.random.Generator
    data_bytes: int

    def integer(self, low: int, high: int) -> int:
        """Uniform in low..high."""
        return int(self.random.integers(low, high + 1))

    def chance(self, probability: float) -> bool:
        """True with a probability."""
        return bool(self.random.random() < probability)

    def one_of(self, choices: Sequence[Any]) -> Any:
        """A uniform choice."""
        return choices[self.integer(0, len(choices) - 1)]

    def scratchpad(self) -> int:
        """A scratchpad bank."""
        return self.integer(0, self.config.scratchpad_banks - 1)

    def accumulator(self) -> int:
        """An accumulator bank."""
        return Bank.ACCUMULATOR + self.integer(0, self.config.accumulator_banks - 1)

    def depth(self, bank: int) -> int:
        """Words of a bank."""
        config = self.config
        if bank < Bank.ACCUMULATOR:
            return config.scratchpad_depth
        if bank < Bank.PARAMETER:
            return config.accumulator_depth
        if bank == Bank.PARAMETER:
            return 4 * config.parameter_depth
        return config.tables * config.table_planes * config.table_words

    def _counts(self, levels: int, most: int) -> list[int]:
        """Counts of a loop nest with at most ``most`` words; many are 1."""
        counts = []
        for _ in range(levels):
            count = 1 if self.chance(0.4) else self.integer(1, max(1, min(most, 12)))
            counts.append(count)
            most //= count
        self.random.shuffle(counts)
        return counts

    def _steps(self, counts: Sequence[int]) -> list[int]:
        """Strides of a loop nest: dense in random order of levels, or small random ones."""
        if self.chance(0.6):
            steps, step = [0] * len(counts), 1
            for level in reversed(range(len(counts))):
                steps[level] = step
                step *= counts[level]
            return steps
        return [self.integer(-3, 5) for _ in counts]

    def _base(self, offsets: Words, depth: int) -> int | None:
        """A first word that keeps all offsets inside a bank."""
        if not offsets.size:
            return self.integer(0, 0xFFFF)
        low, high = int(offsets.min()), int(offsets.max())
        lowest, highest = max(0, -low), min(0xFFFF, depth - 1 - high)
        return self.integer(lowest, highest) if lowest <= highest else None

    def _any_bank(self, op: Opcode) -> int:
        if self.chance(0.6):
            return self.scratchpad()
        if op is Opcode.STORE or self.chance(0.6):
            return self.accumulator()
        return int(self.one_of([Bank.PARAMETER, *([Bank.TABLE] if self.config.tables else [])]))

    def transfer(self, op: Opcode, bank: int | None = None) -> Use | None:
        """A LOAD or STORE of up to 64 words."""
        config = self.config
        if bank is None:
            bank = self._any_bank(op)
        ratio = 4 if Bank.ACCUMULATOR <= bank <= Bank.PARAMETER else 1
        run = self.integer(1, min(24, self.depth(bank)))
        counts = self._counts(2, max(1, 64 // run))
        local = self._steps([*counts, run])[:2]
        memory = [ratio * self.integer(-40, 60) for _ in range(2)]
        words = _nest([*counts, run], [*local, 1])
        outside = _nest([*counts, run * ratio], [*memory, 1])
        first = self._base(words, self.depth(bank))
        start = self._base(-(-outside // ratio), self.data_bytes // config.word_bytes // ratio - 1)
        if first is None or start is None:
            return None
        start *= ratio
        return self._transfer_use(
            op, bank, first + words, start + outside,
            {"bank": bank, "local": first, "run": run, "address": start * config.word_bytes,
             "count0": counts[0], "count1": counts[1],
             "local_stride0": local[0], "local_stride1": local[1],
             "memory_stride0": memory[0], "memory_stride1": memory[1]},
        )  # fmt: skip

    def whole_bank(self, op: Opcode, bank: int, address: int) -> Use:
        """Transfer a whole bank from or to a byte address."""
        ratio = 4 if Bank.ACCUMULATOR <= bank <= Bank.PARAMETER else 1
        words = np.arange(self.depth(bank))
        outside = address // self.config.word_bytes + np.arange(words.size * ratio)
        fields = {"bank": bank, "run": words.size, "address": address}
        return self._transfer_use(op, bank, words, outside, fields)

    @staticmethod
    def _transfer_use(
        op: Opcode, bank: int, words: Words, outside: Words, fields: dict[str, int]
    ) -> Use:
        if op is Opcode.LOAD:
            return Use(op, fields, {MEMORY: outside}, {bank: words})
        return Use(op, fields, {bank: words}, {MEMORY: outside})

    def weight(self) -> tuple[Use, int] | None:
        """A WEIGHT and the number of its tiles, 1 to 4."""
        dim = self.config.dim
        counts = self.one_of([(1, 1), (1, 1), (2, 1), (1, 3), (2, 2)])
        row_step = [self.integer(-2, dim), self.integer(-2, dim)]
        start = self.integer(-2, 2) if self.chance(0.4) else 0
        limit = self.integer(0, 2 * dim) if self.chance(0.4) else 0xFFFF
        rows = _nest([*counts, dim], [*row_step, 1]) + start
        inside = (rows >= 0) & ((rows < limit) | (limit == 0xFFFF))
        row_stride = self.one_of([1, 1, 1, 2, -1, 3, 0])
        strides = [self.integer(-4, dim), self.integer(-4, dim)]
        words = _nest([*counts, dim], [*strides, row_stride])[inside]
        bank = self.scratchpad()
        first = self._base(words, self.depth(bank))
        if first is None:
            return None
        flags = WeightFlag.TRANSPOSE if self.config.transposer and self.chance(0.4) else 0
        fields = {"bank": bank, "flags": int(flags), "local": first, "row_stride": row_stride,
                  "row_start": start, "row_limit": limit,
                  "count0": counts[0], "count1": counts[1],
                  "stride0": strides[0], "stride1": strides[1],
                  "row_step0": row_step[0], "row_step1": row_step[1]}  # fmt: skip
        return Use(Opcode.WEIGHT, fields, {bank: first + words}, {}), math.prod(counts)

    def stream(self, passes: int, keep: bool, not_bank: int) -> Use | None:
        """A STREAM of a number of passes (1, 2, 3 or 4), from another bank than ``not_bank``."""
        inner = self.integer(1, 5 if passes == 1 else 4)
        outer = [1] * (5 - inner)
        if outer:
            outer[self.integer(0, len(outer) - 1)] = passes
        counts = self._counts(inner, 40)
        transpose = self.config.transposer and self.chance(0.3)
        if transpose:
            counts[self.integer(0, inner - 1)] = self.config.dim
        flags = StreamFlag.TRANSPOSE if transpose else StreamFlag(0)
        if keep:
            flags |= StreamFlag.KEEP
        if self.chance(0.5):
            flags |= StreamFlag.ACCUMULATE
        if self.chance(0.4):
            flags |= StreamFlag.WINDOW_READ
        if not transpose and self.chance(0.4):
            flags |= StreamFlag.WINDOW_WRITE
        return self._stream_use([*outer, *counts], inner, flags, not_bank)

    def _stream_use(
        self, counts: list[int], inner: int, flags: StreamFlag, not_bank: int
    ) -> Use | None:
        row_step = [self.integer(-2, 2) for _ in counts]
        column_step = [self.integer(-2, 2) for _ in counts]
        window = {
            "row_start": self.integer(-3, 3),
            "column_start": self.integer(-3, 3),
            "row_limit": self.integer(0, 12),
            "column_limit": self.integer(1, 12),
        }
        rows = _nest(counts, row_step) + window["row_start"]
        columns = _nest(counts, column_step) + window["column_start"]
        inside = (rows >= 0) & (rows < window["row_limit"])
        inside &= (columns >= 0) & (columns < window["column_limit"])
        everywhere = np.ones_like(inside)
        source_steps, target_steps = self._steps(counts), self._steps(counts)
        read = inside if flags & StreamFlag.WINDOW_READ else everywhere
        written = inside if flags & StreamFlag.WINDOW_WRITE else everywhere
        source = _nest(counts, source_steps)[read]
        target = _nest(counts, target_steps)[written]
        source_bank, target_bank = self.scratchpad(), self.accumulator()
        first = self._base(source, self.depth(source_bank))
        to = self._base(target, self.depth(target_bank))
        if first is None or to is None or source_bank == not_bank:
            return None
        fields = {"source_bank": source_bank, "target_bank": target_bank, "source": first,
                  "target": to, "flags": int(flags), "inner": inner,
                  "fresh": self.integer(0, 31), "pad": self.integer(-128, 127),
                  **window}  # fmt: skip
        for level in range(5):
            fields |= {f"count{level}": counts[level], f"source_stride{level}": source_steps[level],
                       f"target_stride{level}": target_steps[level],
                       f"row_step{level}": row_step[level],
                       f"column_step{level}": column_step[level]}  # fmt: skip
        sums = {target_bank: to + target}
        return Use(Opcode.STREAM, fields, {source_bank: first + source, **sums}, sums)

    def exponent(self) -> Use:
        """An EXPONENT."""
        fields = {"register": max(1, self.register()), "value": self.integer(-12, 12)}
        if self.chance(0.5):
            fields |= {"a": self.register(), "b": self.register(), "maximum": self.integer(0, 1)}
        return Use(Opcode.EXPONENT, fields, {}, {})

    def scale(self, action: ScaleAction, first: int) -> Use:
        """A SCALE whose lane 0 is a given register."""
        bank = self.accumulator()
        word = self.integer(0, self.depth(bank) - 1)
        fields = {"action": action, "register": first, "bank": bank, "word": word}
        words = {bank: np.array([word])}
        return Use(
            Opcode.SCALE,
            fields,
            words if action is ScaleAction.READ else {},
            words if action is ScaleAction.WRITE else {},
        )

    def registers(self) -> Use:
        """An EXPONENT, or a SCALE where there is one."""
        if not self.config.training or self.chance(0.3):
            return self.exponent()
        return self.scale(self.one_of(list(ScaleAction)), self.register())

    def register(self) -> int:
        """An exponent register; some are drawn often."""
        return self.integer(0, 7 if self.chance(0.7) else EXPONENTS - 1)

    def vector(self) -> Use | None:
        """A VECTOR of up to 40 words."""
        counts = self._counts(4, 40)
        alu = Alu(self.integer(0, Alu.SCALED if self.config.training else Alu.GREATER))
        activation = self._activation()
        if alu in _NEEDS_MULTIPLIER and not self.config.vector_multiply:
            return None
        reads: dict[int, Words] = {}
        writes: dict[int, Words] = {}
        fields: dict[str, int] = {"alu": alu, "activation": activation}
        for name in ("a", "b"):
            if not self._vector_source(name, counts, fields, reads):
                return None
        if not self._vector_targets(counts, fields, writes) or _spoils(reads, writes):
            return None
        flags = self._vector_flags(alu, activation, fields)
        for level in range(4):
            fields[f"count{level}"] = counts[level]
        if not self._parameter_rows(flags, counts[0], fields, reads):
            return None
        self._vector_numbers(activation, fields, reads)
        return Use(Opcode.VECTOR, fields, reads, writes)

    def _activation(self) -> Activation:
        if self.config.training:
            return Activation(self.integer(0, Activation.RECIPROCAL))
        return Activation(self.integer(0, Activation.TABLE if self.config.tables else 1))

    def _vector_source(
        self, name: str, counts: list[int], fields: dict[str, int], reads: dict[int, Words]
    ) -> bool:
        bank = self.scratchpad() if self.chance(0.5) else self.accumulator()
        if name == "b" and self.chance(0.4):
            bank = int(Bank.NONE)
        fields[f"{name}_bank"] = bank
        if bank == Bank.NONE:
            return True
        steps = self._steps(counts)
        words = _nest(counts, steps)
        first = self._base(words, self.depth(bank))
        if first is None or bank in reads:
            return False
        reads[bank] = first + words
        fields[name] = first
        fields |= {f"{name}_stride{level}": step for level, step in enumerate(steps)}
        return True

    def _vector_targets(
        self, counts: list[int], fields: dict[str, int], writes: dict[int, Words]
    ) -> bool:
        steps = self._steps(counts)
        words = _nest(counts, steps)
        which = self.integer(1, 3)
        banks = {"target": self.scratchpad() if which & 1 else Bank.NONE,
                 "acc": self.accumulator() if which & 2 else Bank.NONE}  # fmt: skip
        for name, bank in banks.items():
            fields[f"{name}_bank"] = int(bank)
            if bank == Bank.NONE:
                continue
            first = self._base(words, self.depth(bank))
            if first is None:
                return False
            writes[int(bank)] = first + words
            fields[name] = first
        fields |= {f"target_stride{level}": step for level, step in enumerate(steps)}
        return True

    def _vector_flags(self, alu: Alu, activation: Activation, fields: dict[str, int]) -> VectorFlag:
        config = self.config
        flags = VectorFlag(0)
        if config.training:
            flags |= self._training_flags(fields)
        if fields["b_bank"] == Bank.NONE or flags & (_AFTER[0] | _AFTER[1]):
            flags |= self.one_of([VectorFlag(0), VectorFlag.B_SCALAR, VectorFlag.B_LANE])
        for flag in (VectorFlag.BIAS, VectorFlag.LANE_SCALE):
            if self.chance(0.4):
                flags |= flag
        if VectorFlag.TFLITE in vector_flags(config) and self.chance(0.3):
            flags |= VectorFlag.TFLITE
        leaky_allowed = config.leaky and not (
            activation in _NEEDS_TABLE and config.operand_bits == 16
        )
        if alu is Alu.SCALED:
            leaky_allowed, flags = False, flags & ~VectorFlag.LANE_SCALE
        if config.residual and alu is Alu.PASS and self.chance(0.4):
            flags |= VectorFlag.RESIDUAL
        elif leaky_allowed and self.chance(0.4):
            flags |= VectorFlag.LEAKY
        fields["flags"] = int(flags)
        return flags

    def _training_flags(self, fields: dict[str, int]) -> VectorFlag:
        flags = VectorFlag.STATISTIC if self.chance(0.5) else VectorFlag(0)
        if fields["b_bank"] != Bank.NONE and self.chance(0.4):
            flags |= self.one_of(_AFTER)
        return flags

    def _parameter_rows(
        self, flags: VectorFlag, count: int, fields: dict[str, int], reads: dict[int, Words]
    ) -> bool:
        if not flags & (VectorFlag.BIAS | VectorFlag.LANE_SCALE | VectorFlag.B_LANE):
            return True
        step = self.integer(0, 2)
        last = self.config.parameter_depth - 1 - step * (count - 1)
        if last < 0:
            return False
        fields["parameter"] = self.integer(0, last)
        fields["parameter_step"] = step
        rows = fields["parameter"] + step * np.arange(count)
        reads[int(Bank.PARAMETER)] = (4 * rows[:, None] + np.arange(4)).reshape(-1)
        return True

    def _vector_numbers(
        self, activation: Activation, fields: dict[str, int], reads: dict[int, Words]
    ) -> None:
        config = self.config
        top = (1 << (config.operand_bits - 1)) - 1
        low, high = sorted((self.integer(-top - 1, top), self.integer(-top - 1, top)))
        if self.chance(0.5):
            low, high = -top - 1, top
        fields |= {
            "low": low, "high": high, "reduce": self.integer(0, len(Reduce) - 1),
            "last_lanes": self.integer(0, config.dim),
            "multiplier": self.integer(0, 0xFFFF_FFFF), "shift": self.integer(-4, 46),
            "multiplier2": self.integer(0, 0xFFFF_FFFF), "shift2": self.integer(0, 46),
            "scalar": self.integer(-300, 300),
        }  # fmt: skip
        fields |= {f"zero_{name}": self.integer(-top, top) for name in ("a", "b", "target")}
        if self.chance(0.2):
            fields |= {"shift": self.integer(-128, 127), "zero_a": self.integer(-32768, 32767),
                       "scalar": self.integer(-(1 << 31), (1 << 31) - 1)}  # fmt: skip
        if fields["alu"] == Alu.SCALED and self.chance(0.7):
            fields["scalar"] = self.integer(-4, 46) << 16 | self.integer(0, 0xFFFF)
        for name in ("x_target", "x_a", "x_b") if config.training else ():
            if self.chance(0.3):
                fields[name] = self.register()
        if activation in _NEEDS_TABLE:
            fields["table"] = self.integer(0, config.tables - 1)
            size = config.table_planes * config.table_words
            reads[int(Bank.TABLE)] = fields["table"] * size + np.arange(size)


def _spoils(reads: dict[int, Words], writes: dict[int, Words]) -> bool:
    """Whether a word is written that is also read at another index of the same instruction."""
    for bank in reads.keys() & writes.keys():
        read, written = reads[bank], writes[bank]
        same = read[:, None] == written[None, :]
        np.fill_diagonal(same, False)
        if same.any():
            return True
    return False
