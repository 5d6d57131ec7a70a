"""VECTOR, EXPONENT and SCALE in plain integers, one lane at a time, from docs/machine.md alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product

from pulsarray.config import EXPONENTS, Config
from pulsarray.isa import (
    Activation,
    Alu,
    Bank,
    Instruction,
    Opcode,
    Reduce,
    ScaleAction,
    VectorFlag,
)

__all__ = ["Reference", "Register", "Word", "is_bad", "rne", "rounded", "sat", "sym"]

Lanes = list[int]


def sat(value: int, bits: int) -> int:
    """The nearest signed number of so many bits."""
    return max(-(1 << (bits - 1)), min(value, (1 << (bits - 1)) - 1))


def sym(value: int, bits: int) -> int:
    """The nearest number of so many bits with equal limits on both sides."""
    limit = (1 << (bits - 1)) - 1
    return max(-limit, min(value, limit))


def rne(value: int, shift: int) -> int:
    """``value / 2^shift`` rounded half to even."""
    whole, rest = divmod(value, 1 << shift)
    twice = 2 * rest - (1 << shift)
    return whole + int(twice > 0 or (twice == 0 and whole % 2 == 1))


def rounded(x: int, k: int, tflite: bool) -> int:
    """``y`` of step 4: the scaled number divided by 2^k."""
    if tflite:
        high = (sat(x << max(0, 31 - k), 64) + (1 << 30)) >> 31
        rest = max(0, k - 31)
        return (high + (1 << (rest - 1)) - (high < 0)) >> rest if rest else high
    return rne(x, k) if k >= 0 else sat(x << -k, 64)


def signed(value: int, bits: int) -> int:
    """The low bits of a number as a signed one."""
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def clamp(value: int, low: int, high: int) -> int:
    """``min(max(value, low), high)``."""
    return min(max(value, low), high)


@dataclass(frozen=True)
class Word:
    """One iteration: what is read, and what is written where (lanes, or None)."""

    a: tuple[int, int]
    b: tuple[int, int] | None
    row: int
    target: tuple[int, int] | None
    acc: tuple[int, int] | None
    codes: Lanes
    sums: Lanes


@dataclass
class Register:
    """A register of the exponent file, and what the scale controller keeps of it."""

    exponent: int = 0
    count: int = 0
    limit: bool = False
    overflow: bool = False
    noted: bool = False
    level: int = 0

    def note(self, level: int) -> None:
        """A statistic."""
        self.level = max(self.level, level) if self.noted else level
        self.noted = True

    def adapt(self) -> None:
        """ADAPT, for a register other than 0."""
        if not self.noted:
            return
        place = self.exponent + 14
        self.overflow |= self.level > place + 1
        if self.level >= place:
            place, self.count = self.level, 0
        else:
            self.count += 1
            if self.count == 8:
                place, self.count = place - 1, 0
        self.exponent = sat(place - 14, 8)
        self.noted = False

    @classmethod
    def from_lane(cls, lane: int) -> Register:
        """What READ takes from a lane."""
        bits = [bool(lane >> place & 1) for place in (11, 12, 13)]
        return cls(signed(lane, 8), lane >> 8 & 7, *bits, signed(lane >> 16, 8))

    @property
    def lane(self) -> int:
        """What WRITE makes of it."""
        flags = self.limit << 11 | self.overflow << 12 | self.noted << 13
        return self.exponent & 0xFF | self.count << 8 | flags | (self.level & 0xFF) << 16


@dataclass
class Reference:
    """The vector unit's state, and its effects word by word.

    Parameters
    ----------
    config
        The machine.
    read
        Lanes of the word at a bank and an address.
    """

    config: Config
    read: Callable[[int, int], Lanes]
    parameters: dict[int, Lanes] = field(default_factory=dict)
    """Raw slots by word of the parameter bank; others are 0."""
    table: dict[int, Lanes] = field(default_factory=dict)
    """Entries (raw) by word of the table bank; others are 0."""
    registers: list[Register] = field(default_factory=lambda: [Register() for _ in range(64)])

    def clear(self) -> None:
        """What START does."""
        self.registers = [Register() for _ in range(EXPONENTS)]

    def exponent(self, i: Instruction) -> None:
        """Execute EXPONENT."""
        if not self.config.training:
            return
        register = self.registers[i["register"]]
        value = sat(i["value"] + self._exponent(i["a"]) + self._exponent(i["b"]), 8)
        register.exponent = max(register.exponent, value) if i["maximum"] else value

    def scale(self, i: Instruction) -> Lanes | None:
        """Execute SCALE; the word that WRITE writes."""
        numbers = [i["register"] + lane for lane in range(self.config.dim)]
        if i["action"] == ScaleAction.WRITE:
            return [self.registers[r].lane if 0 < r < EXPONENTS else 0 for r in numbers]
        if i["action"] == ScaleAction.READ:
            for r, lane in zip(numbers, self.read(i["bank"], i["word"]), strict=True):
                if 0 < r < EXPONENTS:
                    self.registers[r] = Register.from_lane(lane)
        else:
            for register in self.registers[1:]:
                register.adapt()
        return None

    def _exponent(self, number: int) -> int:
        return self.registers[number].exponent

    def vector(self, i: Instruction) -> Iterator[Word]:
        """Execute VECTOR: its words, in order."""
        counts = [i[f"count{level}"] for level in range(4)]
        for index in product(*map(range, counts)):
            yield self._word(i, index, index[0] == counts[0] - 1)

    def _word(self, i: Instruction, index: tuple[int, ...], is_last: bool) -> Word:
        def place(bank: str, base: str, stride: str) -> tuple[int, int] | None:
            step = sum(n * i[f"{stride}_stride{level}"] for level, n in enumerate(index))
            where = (i[base] + step) % (1 << 16)
            return None if i[bank] == Bank.NONE else (i[bank], where)

        dim = self.config.dim
        a, b = place("a_bank", "a", "a"), place("b_bank", "b", "b")
        assert a is not None
        row = i["parameter"] + index[0] * i["parameter_step"]
        a_word = self.read(*a)
        b_word = self.read(*b) if b else [0] * dim
        valid = i["last_lanes"] or dim if is_last else dim
        lanes, sizes, near = [], [0], [False]
        for c in range(dim):
            x, y, result = self._lane(i, a_word[c], b_word[c], self._row(row, c))
            lanes.append(result)
            if c < valid:
                sizes.append(abs(x))
                near.append(y >> 24 & 0xFF in (0x7F, 0x80))
        if i["flags"] & VectorFlag.STATISTIC:
            self._note(i, max(sizes), any(near))
        codes = reduce_lanes(i["reduce"], [n for n, _ in lanes], valid, self.config.operand_bits)
        sums = reduce_lanes(i["reduce"], [w for _, w in lanes], valid, self.config.acc_bits)
        target, acc = place("target_bank", "target", "target"), place("acc_bank", "acc", "target")
        return Word(a, b, row, target, acc, codes, sums)

    def _row(self, row: int, lane: int) -> dict[str, int]:
        empty = [0] * self.config.dim
        slot = [self.parameters.get(4 * row + column, empty)[lane] for column in range(4)]
        return {
            "bias": signed(slot[0], self.config.acc_bits),
            "multiplier": slot[1] % (1 << self.config.scale_bits),
            "shift": signed(slot[2], 8),
            "constant": signed(slot[3], self.config.acc_bits),
        }

    def _note(self, i: Instruction, size: int, near: bool) -> None:
        """Step 8 for one word."""
        register = self.registers[i["x_target"]]
        if i["x_target"] == 0:
            return
        if i["flags"] & (VectorFlag.ADD_AFTER | VectorFlag.SUB_AFTER):
            register.limit |= near
            return
        exponents = self._exponent(i["x_a"]) + self._exponent(i["x_b"])
        if size:
            register.note(sat(size.bit_length() + exponents - i["shift"], 8))

    def _lane(
        self, i: Instruction, a: int, b: int, row: Mapping[str, int]
    ) -> tuple[int, int, tuple[int, int]]:
        """x, Y, and n with w of one lane."""
        flags, c = VectorFlag(i["flags"]), b
        after = bool(flags & (VectorFlag.ADD_AFTER | VectorFlag.SUB_AFTER))
        a = a - i["zero_a"] + (row["bias"] if VectorFlag.BIAS in flags else 0)
        if VectorFlag.B_SCALAR in flags:
            b = i["scalar"]
        elif VectorFlag.B_LANE in flags:
            b = row["constant"]
        else:
            b = b - i["zero_b"] if i["b_bank"] != Bank.NONE and not after else 0
        t = sat(self._alu(i["alu"], a, b), self.config.alu_bits)
        x, shift = self._scaled(i, flags, t, b, row)
        exponent = [self._exponent(i[name]) for name in ("x_target", "x_a", "x_b")]
        k = clamp(shift + exponent[0] - exponent[1] - exponent[2], -63, 63)
        y = sat(rounded(x, k, VectorFlag.TFLITE in flags), self.config.acc_bits)
        if after:
            y = sym(c + y if VectorFlag.ADD_AFTER in flags else c - y, 32)
        return x, y, self._activate(i, y)

    def _alu(self, alu: int, a: int, b: int) -> int:
        bits = self.config.operand_bits
        fraction, operand = bits - 1, sat(b, bits)
        sigmoid = sat(rne(operand * ((1 << fraction) - operand), fraction - 2), bits)
        tanh = sat(rne((1 << (2 * fraction)) - operand**2, fraction), bits)
        return {
            Alu.PASS: a,
            Alu.ADD: a + b,
            Alu.SUB: a - b,
            Alu.RSUB: b - a,
            Alu.MUL: a * operand,
            Alu.MAX: max(a, b),
            Alu.MIN: min(a, b),
            Alu.GATE: a if b > 0 else 0,
            Alu.DSIGMOID: a * sigmoid,
            Alu.DTANH: a * tanh,
            Alu.EQUAL: int(a == b),
            Alu.GREATER: int(a > b),
            Alu.SCALED: a * signed(b, bits),
        }[Alu(alu)]

    def _scaled(
        self, i: Instruction, flags: VectorFlag, t: int, b: int, row: Mapping[str, int]
    ) -> tuple[int, int]:
        """x and s of step 3."""
        scale_bits = self.config.scale_bits
        m, shift = i["multiplier"] % (1 << scale_bits), i["shift"]
        other = i["multiplier2"] % (1 << scale_bits) if scale_bits else 1
        if VectorFlag.LANE_SCALE in flags:
            m, shift = row["multiplier"], row["shift"]
        if VectorFlag.LEAKY in flags and t < 0:
            m, shift = other, i["shift2"]
        if i["alu"] == Alu.SCALED:
            shift = sat(b >> self.config.operand_bits, 8)
        x = t * (m if scale_bits else 1)
        if VectorFlag.RESIDUAL in flags:
            x = sat(x + sat(b, self.config.operand_bits + 1) * other, 64)
        return x, shift

    def _activate(self, i: Instruction, y: int) -> tuple[int, int]:
        bits = self.config.operand_bits
        low, high, zero = signed(i["low"], bits), signed(i["high"], bits), i["zero_target"]
        if i["activation"] == Activation.STEP:
            w = high if y > 0 else low if y < 0 else zero
            return sat(w, bits), w
        if i["activation"] == Activation.NARROW:
            return sym(rne(y, bits), bits), y
        if i["activation"] == Activation.EXP:
            whole, part = divmod(clamp(y, 0, 40 << 15), 1 << 15)
            w = (self._look_up(i, 2 * part - (1 << 15)) << 15) >> whole
            return sat(w, bits), w
        if i["activation"] == Activation.RECIPROCAL:
            y = max(y, 1)
            length = y.bit_length()
            m = (y << 16) >> length
            code = self._look_up(i, 2 * m - (1 << 15) - (1 << 16))
            return code, code + (length - 16) * (1 << 16)
        code = clamp(y + zero, low, high)
        if i["activation"] == Activation.NONE:
            return code, y
        code = self._look_up(i, code)
        return code, code

    def _look_up(self, i: Instruction, argument: int) -> int:
        bits, segments = self.config.operand_bits, self.config.table_segments
        fraction_bits = bits - (segments.bit_length() - 1)
        segment, fraction = divmod(argument + (1 << (bits - 1)), 1 << fraction_bits)
        planes = [self._entry(i["table"], p, segment) for p in range(self.config.table_planes)]
        if bits == 8:
            return signed(planes[0], 8)
        offset, slope = signed(planes[0] % (1 << 16) | planes[1] << 16, 32), signed(planes[2], 16)
        return sat(rne(offset + slope * fraction, i["shift2"]), 16)

    def _entry(self, table: int, plane: int, segment: int) -> int:
        entries = self.config.word_bytes // self.config.operand_bytes
        first = (table * self.config.table_planes + plane) * self.config.table_words
        word, place = divmod(segment, entries)
        return self.table.get(first + word, [0] * entries)[place]


def reduce_lanes(reduce: int, lanes: Lanes, valid: int, bits: int) -> Lanes:
    """Step 6: the lanes beyond ``valid`` become 0, the others perhaps their reduction."""
    counted = lanes[:valid]
    if reduce == Reduce.MAX:
        counted = [max(counted)] * len(counted)
    elif reduce == Reduce.SUM:
        counted = [sat(sum(counted), bits)] * len(counted)
    return counted + [0] * (len(lanes) - len(counted))


def is_bad(i: Instruction, config: Config) -> bool:
    """Whether an instruction of the vector unit is BAD_FIELD."""
    if i.op is Opcode.VECTOR:
        return _bad_vector(i, config)
    if i.op is Opcode.SCALE:
        bank = 0 <= i["bank"] - Bank.ACCUMULATOR < config.accumulator_banks
        return not (config.training and i["action"] <= 2 and i["register"] <= 63 and bank)
    return not (1 <= i["register"] <= 63 and max(i["a"], i["b"]) <= 63 and i["maximum"] <= 1)


def _bad_vector(i: Instruction, config: Config) -> bool:
    """Whether a VECTOR is BAD_FIELD."""

    def scratchpad(bank: int) -> bool:
        return bank < config.scratchpad_banks

    def accumulator(bank: int) -> bool:
        return 0 <= bank - Bank.ACCUMULATOR < config.accumulator_banks

    a, b, target, acc = (i[f"{name}_bank"] for name in ("a", "b", "target", "acc"))
    flags, alu, activation = i["flags"], i["alu"], i["activation"]
    constants = [bool(flags & flag) for flag in (VectorFlag.B_SCALAR, VectorFlag.B_LANE)]
    after = [bool(flags & flag) for flag in (VectorFlag.ADD_AFTER, VectorFlag.SUB_AFTER)]
    leaky, lane_scale = bool(flags & VectorFlag.LEAKY), bool(flags & VectorFlag.LANE_SCALE)
    table = activation in (Activation.TABLE, Activation.EXP, Activation.RECIPROCAL)
    training = config.training
    residual = bool(flags & VectorFlag.RESIDUAL)
    products = (Alu.MUL, Alu.DSIGMOID, Alu.DTANH)
    rules = (
        all(i[f"count{level}"] for level in range(4)),
        scratchpad(a) or accumulator(a),
        scratchpad(b) or accumulator(b) or b == Bank.NONE,
        scratchpad(target) or target == Bank.NONE,
        accumulator(acc) or acc == Bank.NONE,
        target != Bank.NONE or acc != Bank.NONE,
        a != b,
        alu <= (Alu.SCALED if training else Alu.GREATER),
        activation <= (Activation.RECIPROCAL if training else Activation.TABLE),
        i["reduce"] <= max(Reduce),
        flags < (1 << 10 if training else 1 << 7),
        all(i[f"x_{name}"] < (64 if training else 1) for name in ("target", "a", "b")),
        not all(constants),
        not all(after),
        b != Bank.NONE if any(after) else not any(constants) or b == Bank.NONE,
        alu != Alu.SCALED or not (leaky or lane_scale),
        not residual or (alu == Alu.PASS and not leaky),
        not flags & VectorFlag.TFLITE or (config.scale_bits == 31 and config.tflite),
        not residual or config.residual,
        not leaky or config.leaky,
        alu not in products or config.vector_multiply,
        not table or i["table"] < config.tables,
        not table or config.operand_bits == 8 or (not leaky and 0 <= i["shift2"] <= 63),
    )
    return not all(rules)
