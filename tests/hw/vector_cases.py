"""Random contents and instructions for the vector unit, extremes often among them."""

from __future__ import annotations

import random

from pulsarray.config import EXPONENTS, Config
from pulsarray.isa import (
    FORMATS,
    Activation,
    Alu,
    Bank,
    Instruction,
    Opcode,
    Reduce,
    ScaleAction,
    VectorFlag,
)
from tests.hw.vector_reference import is_bad

__all__ = ["Cases", "wild"]

_RULED = {"flags", "alu", "activation", "b_bank", "table", "action", "bank", "register", "maximum"}
"""Fields with more rules than others."""


def wild(generator: random.Random, bits: int) -> int:
    """A signed number: any size, often near a power of two, a tie, or a limit."""
    size = generator.randrange(bits)
    near = (1 << size) + generator.choice([-1, 0, 0, 1])
    zeros = generator.randrange(size + 1)
    value = generator.choice([near, generator.getrandbits(size + 1), near >> zeros << zeros])
    value = generator.choice([value, value, generator.getrandbits(size + 1) >> zeros << zeros])
    value = generator.choice([value, -value])
    return max(-(1 << (bits - 1)), min(value, (1 << (bits - 1)) - 1))


class Cases:
    """Contents of the sources and of the parameter and table banks, and random instructions.

    Parameters
    ----------
    config
        The machine.
    seed
        Decides everything.

    Attributes
    ----------
    words
        Lanes of source words by bank and address, as far as they are known.
    """

    def __init__(self, config: Config, seed: int) -> None:
        self.config = config
        self.random = random.Random(seed)
        self._some = self.random.randrange(1, EXPONENTS)
        self.words: dict[tuple[int, int], list[int]] = {}

    def read(self, bank: int, address: int) -> list[int]:
        """Lanes of a source word; made up when it is first asked for."""
        config = self.config
        bits = config.operand_bits if bank < Bank.ACCUMULATOR else config.acc_bits
        if (bank, address) not in self.words:
            self.words[bank, address] = self._lanes(bits, config.dim)
        return self.words[bank, address]

    def _lanes(self, bits: int, lanes: int) -> list[int]:
        """A word of any numbers, or of smallest and largest ones alone."""
        if self.random.randrange(4):
            return [wild(self.random, bits) for _ in range(lanes)]
        low = -(1 << (bits - 1))
        return [self.random.choice([low, low, -low - 1]) for _ in range(lanes)]

    def parameter_word(self) -> list[int]:
        """Slots of one word of the parameter bank, noise above the bits that count."""
        bits = 8 * self.config.acc_slot_bytes
        lanes = self.config.word_bytes // self.config.operand_bytes
        size = self.random.choice([bits, self.config.acc_bits])
        return [value % (1 << bits) for value in self._lanes(size, lanes)]

    def table_word(self) -> list[int]:
        """Entries of one word of the table bank."""
        bits = self.config.operand_bits
        lanes = self.config.word_bytes // self.config.operand_bytes
        return [wild(self.random, bits) % (1 << bits) for _ in range(lanes)]

    def exponent(self) -> Instruction:
        """An EXPONENT; often a small value, so that shifts stay where results differ."""
        value = self.random.choice([self.random.randint(-4, 4), wild(self.random, 8)])
        return Instruction.make(
            Opcode.EXPONENT,
            register=self.random.randrange(1, EXPONENTS),
            value=value,
            a=self._register(),
            b=self._register(),
            maximum=self.random.randrange(2),
            signal=self.random.getrandbits(16),
        )

    def scale(self) -> Instruction:
        """A SCALE; its registers are often those that VECTOR uses."""
        return Instruction.make(
            Opcode.SCALE,
            action=self.random.choice(list(ScaleAction)),
            register=self.random.choice([self._register(), self._some, EXPONENTS - 1]),
            bank=Bank.ACCUMULATOR + self.random.randrange(self.config.accumulator_banks),
            word=self.random.getrandbits(16),
            signal=self.random.getrandbits(16),
        )

    def batch(self) -> list[Instruction]:
        """Some instructions, and a look at what the last VECTOR noted."""
        batch = [self.any() for _ in range(3)]
        noting = [i["x_target"] for i in batch if i.op is Opcode.VECTOR]
        if self.config.training and noting:
            fields = {"action": ScaleAction.WRITE, "register": noting[-1]}
            batch.append(Instruction.make(Opcode.SCALE, **fields))
        return batch

    def any(self) -> Instruction:
        """An instruction that the machine accepts."""
        kinds = [self.vector, self.vector, self.exponent]
        if self.config.training:
            kinds += [self.scale, self.scale]
        return self.random.choice(kinds)()

    def _register(self) -> int:
        """Register 0, one of a few, or any."""
        few = min(EXPONENTS - 1, self._some + self.random.randrange(3))
        return self.random.choice([0, few, few, self.random.randrange(EXPONENTS)])

    def vector(self) -> Instruction:
        """A VECTOR that the machine accepts."""
        while True:
            instruction = Instruction.make(Opcode.VECTOR, **self._fields())
            if not is_bad(instruction, self.config):
                return instruction

    def wrong(self) -> Instruction:
        """An instruction that is BAD_FIELD: one field of a good one is any number."""
        while True:
            kinds = [self.vector] * 5 + [self.exponent, self.scale]
            good = self.random.choice(kinds)()
            form = FORMATS[good.op]
            values = dict(zip((f.name for f in form.fields), good.values, strict=True))
            for _ in range(self.random.choice([1, 1, 2])):
                ruled = [field for field in form.fields if field.name in _RULED]
                ruled += [field for field in ruled if field.name == "flags"] * 2
                changed = self.random.choice(self.random.choice([ruled, form.fields[3:]]))
                bit = 1 << self.random.randrange(changed.bits - 1)
                edges = [values[changed.name] ^ bit, self.random.randrange(min(changed.high, 4))]
                edges += [changed.low, changed.high, self.random.randint(changed.low, changed.high)]
                edges += [min(changed.high, self.random.randrange(80)), values.get("a_bank", 0)]
                if changed.name == "flags":
                    edges = [values["flags"] | 1 << bit for bit in range(10)] + edges[:2]
                values[changed.name] = self.random.choice(edges)
            del values["opcode"], values["units"]
            instruction = Instruction.make(good.op, **values)
            if is_bad(instruction, self.config):
                return instruction

    def _fields(self) -> dict[str, int]:
        choice, randint = self.random.choice, self.random.randint
        flags = self._flags()
        fields: dict[str, int] = {
            "signal": self.random.getrandbits(16),
            "alu": choice([Alu.PASS, *Alu]),
            "activation": choice(list(Activation)),
            "flags": flags,
            "reduce": choice([Reduce.NONE, *Reduce]),
            "last_lanes": choice([0, randint(1, self.config.dim)]),
            "parameter": randint(0, 3),
            "parameter_step": randint(0, 2),
            "table": randint(0, max(0, self.config.tables - 1)),
            **{f"x_{n}": self.config.training and self._register() for n in ("target", "a", "b")},
            **{f"zero_{name}": self._small(16) for name in ("a", "b", "target")},
            "scalar": self._small(32),
            **self._banks(flags),
            **self._scales(),
            **self._limits(),
        }
        few = choice([[1, 1, 1, 2], [1, 1, 1, 2], [1, 1, 2, 3]])
        for level in range(4):
            fields[f"count{level}"] = choice(few)
            for name in ("a", "b", "target"):
                fields[f"{name}_stride{level}"] = choice([0, 1, -1, wild(self.random, 16)])
        if flags & VectorFlag.RESIDUAL:
            fields["alu"] = Alu.PASS
        return fields

    def _flags(self) -> int:
        far = VectorFlag.RESIDUAL | VectorFlag.BIAS  # together they reach 64 bits
        bits = 10 if self.config.training else 7
        single, some = 1 << self.random.randrange(bits), self.random.getrandbits(bits)
        flags = self.random.choice(
            [0, single, some, some & self.random.getrandbits(bits), int(far)]
        )
        if self.config.training:
            flags |= self.random.choice([0, int(VectorFlag.STATISTIC)])
        config = self.config
        for flag, is_there in (
            (VectorFlag.TFLITE, config.tflite and config.scale_bits == 31),
            (VectorFlag.RESIDUAL, config.residual),
            (VectorFlag.LEAKY, config.leaky),
        ):
            if not is_there:
                flags &= ~int(flag)
        return flags

    def _banks(self, flags: int) -> dict[str, int]:
        choice, config = self.random.choice, self.config
        pads = list(range(config.scratchpad_banks))
        sums = [Bank.ACCUMULATOR + bank for bank in range(config.accumulator_banks)]
        none = int(Bank.NONE)
        fields = {
            "a_bank": choice(pads + sums + sums),
            "b_bank": choice(pads + sums + [none]),
            "target_bank": choice([*pads, none]),
            "acc_bank": choice([*sums, *sums, none]),
        }
        after = flags & (VectorFlag.ADD_AFTER | VectorFlag.SUB_AFTER)
        if not after and flags & (VectorFlag.B_SCALAR | VectorFlag.B_LANE):
            fields["b_bank"] = none
        return fields | {name: self.random.getrandbits(16) for name in ("a", "b", "target", "acc")}

    def _scales(self) -> dict[str, int]:
        choice, randint = self.random.choice, self.random.randint
        bits = self.config.scale_bits
        multiplier = choice([1, (1 << bits) - 1, wild(self.random, 33) % (1 << 32)])
        middle = choice([bits, bits // 2, 0])
        shift = choice([randint(middle - 8, middle + 24), wild(self.random, 8)])
        return {
            "multiplier": multiplier,
            "multiplier2": choice([multiplier, 1, wild(self.random, 33) % (1 << 32)]),
            "shift": shift,
            "shift2": choice([max(0, shift), randint(0, 63), wild(self.random, 8)]),
        }

    def _limits(self) -> dict[str, int]:
        top = 1 << (self.config.operand_bits - 1)
        low, high = (wild(self.random, 16) for _ in range(2))
        return self.random.choice([{"low": -top, "high": top - 1}, {"low": low, "high": high}])

    def _small(self, bits: int) -> int:
        return self.random.choice([0, self.random.randint(-8, 8), wild(self.random, bits)])
