"""VECTOR on whole tensors, the six steps of docs/machine.md (section 5) one after the other."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from pulsarray.isa import Activation, Alu, Bank, Instruction, Reduce, VectorFlag
from pulsarray.model.addresses import parameter_rows, vector_words
from pulsarray.model.arithmetic import (
    add_exactly,
    add_saturated,
    bit_lengths,
    clamp,
    operate,
    round_half_even,
    round_shift,
    round_tflite,
    saturate,
    signed,
    symmetric,
    wrap,
)
from pulsarray.model.state import State

__all__ = ["PARAMETER_FLAGS", "run_vector"]

Lanes = npt.NDArray[Any]
PARAMETER_FLAGS = int(VectorFlag.BIAS | VectorFlag.LANE_SCALE | VectorFlag.B_LANE)
"""Flags with which VECTOR reads rows of parameters."""
_SHIFT_MAX = 63
_BIAS, _MULTIPLIER, _SHIFT, _CONSTANT = range(4)
_AFTER = int(VectorFlag.ADD_AFTER | VectorFlag.SUB_AFTER)
_TOTAL_BITS = 32
"""Width of a sum that is added to after rounding: a master weight, a velocity."""
_EXP_LIMIT = 40 << 15


def run_vector(state: State, instruction: Instruction) -> None:
    """Read all words, compute, write all words."""
    _Vector(state, instruction).run()


class _Vector:
    """One VECTOR: arrays of lanes have shape (words, D), or broadcast to it."""

    def __init__(self, state: State, instruction: Instruction) -> None:
        self.state, self.config, self.fields = state, state.config, instruction
        self.flags = instruction["flags"]
        counts = [instruction[f"count{level}"] for level in range(4)]
        self.words, self.words_a_row = prod(counts), prod(counts[1:])
        if self.flags & PARAMETER_FLAGS:
            self.rows = state.parameters[parameter_rows(instruction).rows()]

    def run(self) -> None:
        a, b = self.source_a(), self.source_b()
        self.b_shift: Lanes | None = None
        if self.fields["alu"] == Alu.SCALED:
            bits = self.config.operand_bits
            self.b_shift = saturate(b >> bits, 8)
            value = operate(Alu.MUL, a, wrap(b.astype(np.int64), bits), self.config)
        else:
            value = operate(Alu(self.fields["alu"]), a, b, self.config)
        total = self.requantize(value, b)
        if self.flags & _AFTER:
            total = self.add_after(total)
        codes, sums = self.activate(total)
        self.write("target", codes, self.config.operand_bits)
        self.write("acc", sums, self.config.acc_bits)

    def parameter(self, column: int) -> Lanes:
        """One constant of every word and lane."""
        return np.repeat(self.rows[:, column], self.words_a_row, axis=0)

    # Step 1: operands

    def words_of(self, name: str) -> Lanes:
        """The words of a source."""
        words = self.state.bank(self.fields[f"{name}_bank"])
        return words[vector_words(self.fields, name).rows()].astype(np.int64, copy=False)

    def read(self, name: str) -> Lanes:
        """The words of a source less its zero point."""
        return add_exactly(self.words_of(name), -self.fields[f"zero_{name}"])

    def source_a(self) -> Lanes:
        """A."""
        a = self.read("a")
        return add_exactly(a, self.parameter(_BIAS)) if self.flags & VectorFlag.BIAS else a

    def source_b(self) -> Lanes:
        """B."""
        if self.flags & VectorFlag.B_LANE:
            return self.parameter(_CONSTANT)
        if self.fields["b_bank"] != Bank.NONE and not self.flags & _AFTER:
            return self.read("b")
        scalar = self.fields["scalar"] if self.flags & VectorFlag.B_SCALAR else 0
        return np.full((1, self.config.dim), scalar, np.int64)

    # Steps 3 and 4: scale and round

    def requantize(self, value: Lanes, b: Lanes) -> Lanes:
        """``Y``: the value times its multiplier, divided by a power of two, rounded."""
        shift, scaled = self.scale(value)
        if self.flags & VectorFlag.RESIDUAL:
            other = saturate(b, self.config.operand_bits + 1).astype(np.int64)
            scaled = add_saturated(scaled, other * self.second_multiplier())
        target, source = self.exponents()
        exponent = target - source
        if self.flags & VectorFlag.STATISTIC and not self.flags & _AFTER:
            self.note(scaled, source - self.fields["shift"])
        total = clamp(shift + exponent, -_SHIFT_MAX, _SHIFT_MAX)
        rounding = round_tflite if self.flags & VectorFlag.TFLITE else round_shift
        return saturate(rounding(scaled, total), self.config.acc_bits)

    def exponents(self) -> tuple[int, int]:
        """Exponents of the result, and of both sources together."""
        x = self.state.scales.exponents
        target, a, b = (x[self.fields[f"x_{name}"]] for name in ("target", "a", "b"))
        return target, a + b

    def scale(self, value: Lanes) -> tuple[Lanes, Lanes]:
        """The shift, and the value times its multiplier: at most 64 bits."""
        multiplier: Lanes = np.asarray(self.multiplier("multiplier"), np.int64)
        shift: Lanes = np.asarray(self.fields["shift"], np.int64)
        if self.flags & VectorFlag.LANE_SCALE:
            shift = self.parameter(_SHIFT)
            if self.config.scale_bits:
                multiplier = self.parameter(_MULTIPLIER)
        if self.flags & VectorFlag.LEAKY:
            negative = value < 0
            multiplier = np.where(negative, self.second_multiplier(), multiplier)
            shift = np.where(negative, self.fields["shift2"], shift)
        if self.b_shift is not None:
            shift = self.b_shift
        return shift, value * multiplier

    def second_multiplier(self) -> int:
        """Of source 2, or of negative values."""
        return self.multiplier("multiplier2")

    def multiplier(self, name: str) -> int:
        """The bits of a field that count; 1 without a scale multiplier."""
        bits = self.config.scale_bits
        return self.fields[name] & ((1 << bits) - 1) if bits else 1

    def add_after(self, value: Lanes) -> Lanes:
        """C plus or minus the rounded value, symmetrically saturated."""
        c = self.words_of("b")
        total = c + value if self.flags & VectorFlag.ADD_AFTER else c - value
        total = symmetric(total, _TOTAL_BITS)
        if self.flags & VectorFlag.STATISTIC:
            top = total >> 24 & 0xFF
            near = (top == 0x7F) | (top == 0x80)
            if (near & self.counted()).any():
                self.state.scales.limit(self.fields["x_target"])
        return total

    def note(self, scaled: Lanes, exponent: int) -> None:
        """STATISTIC: the largest magnitude of the lanes that count."""
        kept = np.where(self.counted(), scaled, 0)
        largest = max(int(kept.max()), -int(kept.min()))
        self.state.scales.note(self.fields["x_target"], largest.bit_length(), exponent)

    # Step 5: activation

    def activate(self, value: Lanes) -> tuple[Lanes, Lanes]:
        """``n`` and ``w``."""
        bits, activation = self.config.operand_bits, self.fields["activation"]
        low, high = (signed(self.fields[name], bits) for name in ("low", "high"))
        zero = self.fields["zero_target"]
        if activation == Activation.STEP:
            step = np.where(value > 0, high, np.where(value < 0, low, zero))
            return saturate(step, bits), step
        if activation == Activation.NARROW:
            return symmetric(round_half_even(value, bits), bits), value
        if activation == Activation.EXP:
            power = self.power(value)
            return saturate(power, bits), power
        if activation == Activation.RECIPROCAL:
            return self.reciprocal(value)
        code = clamp(add_saturated(value, np.asarray(zero, np.int64)), low, high)
        if activation == Activation.TABLE:
            code = self.look_up(code)
            return code, code
        return code, value

    def power(self, value: Lanes) -> Lanes:
        """2 to the power of minus a value at 2^-15, at 2^-30."""
        limited = clamp(value, 0, _EXP_LIMIT)
        whole, fraction = limited >> 15, limited & 0x7FFF
        return np.asarray((self.look_up(2 * fraction - 0x8000) << 15) >> whole)

    def reciprocal(self, value: Lanes) -> tuple[Lanes, Lanes]:
        """The reciprocal of a sum's leading 16 bits, and with it how far they were shifted."""
        total = np.maximum(value, 1)
        length = bit_lengths(total)
        down, up = np.maximum(length - 16, 0), np.maximum(16 - length, 0)
        leading = (total >> down) << up
        code = self.look_up(2 * leading - 0x18000)
        return code, code + ((length - 16) << 16)

    def look_up(self, argument: Lanes) -> Lanes:
        """The function table: entries of codes, or lines in segments of mantissas."""
        config = self.config
        bits, segments = config.operand_bits, config.table_segments
        size = config.table_planes * config.table_words
        first = self.fields["table"] * size
        planes = self.state.tables[first : first + size].reshape(config.table_planes, -1)
        place = argument + (1 << (bits - 1))
        if bits == 8:
            codes: Lanes = planes[0][place]
            return codes
        fraction_bits = bits - (segments - 1).bit_length()
        segment, fraction = place >> fraction_bits, place & ((1 << fraction_bits) - 1)
        offset = (planes[1] << 16) + (planes[0] & 0xFFFF)
        line = offset[segment] + planes[2][segment] * fraction
        return saturate(round_half_even(line, self.fields["shift2"]), bits)

    # Steps 6 and 7: reduction and destinations

    def write(self, name: str, lanes: Lanes, bits: int) -> None:
        """Reduce, blank the excluded lanes, and write to a destination, if there is one."""
        bank = self.fields[f"{name}_bank"]
        if bank == Bank.NONE:
            return
        counted = self.counted()
        if self.fields["reduce"] != Reduce.NONE:
            lanes = _reduce(Reduce(self.fields["reduce"]), lanes, counted, bits)
        if not counted.all():
            lanes = np.where(counted, lanes, 0)
        self.state.bank(bank)[vector_words(self.fields, name).rows()] = lanes

    def counted(self) -> npt.NDArray[np.bool_]:
        """Lanes that are not excluded."""
        dim, last = self.config.dim, self.fields["last_lanes"]
        if not 0 < last < dim:
            return np.ones((1, dim), np.bool_)
        counted = np.ones((self.words, dim), np.bool_)
        counted[self.words - self.words_a_row :, last:] = False
        return counted


def _reduce(
    reduce: Reduce, lanes: Lanes, counted: npt.NDArray[np.bool_], bits: int
) -> npt.NDArray[np.int64]:
    """Maximum or sum of the lanes that count, shape (words, 1)."""
    if reduce is Reduce.MAX:
        smallest = np.int64(-(1 << (bits - 1)))
        largest: npt.NDArray[np.int64]
        largest = np.where(counted, lanes, smallest).max(axis=1, keepdims=True)
        return largest
    kept = np.where(counted, lanes, 0)
    # At most 64 lanes: six more bits.
    wide = kept.astype(object) if bits > 57 else kept
    return saturate(wide.sum(axis=1, keepdims=True), bits).astype(np.int64)
