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
    clamp,
    operate,
    round_half_even,
    round_shift,
    round_tflite,
    saturate,
    signed,
)
from pulsarray.model.state import State

__all__ = ["PARAMETER_FLAGS", "run_vector"]

Lanes = npt.NDArray[Any]
PARAMETER_FLAGS = int(VectorFlag.BIAS | VectorFlag.LANE_SCALE | VectorFlag.B_LANE)
"""Flags with which VECTOR reads rows of parameters."""
_SHIFT_MAX = 63
_BIAS, _MULTIPLIER, _SHIFT, _CONSTANT = range(4)


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
        value = operate(Alu(self.fields["alu"]), a, b, self.config)
        codes, sums = self.activate(self.requantize(value, b))
        self.write("target", codes, self.config.operand_bits)
        self.write("acc", sums, self.config.acc_bits)

    def parameter(self, column: int) -> Lanes:
        """One constant of every word and lane."""
        return np.repeat(self.rows[:, column], self.words_a_row, axis=0)

    # Step 1: operands

    def read(self, name: str) -> Lanes:
        """The words of a source less its zero point."""
        words = self.state.bank(self.fields[f"{name}_bank"])
        lanes = words[vector_words(self.fields, name).rows()].astype(np.int64, copy=False)
        return add_exactly(lanes, -self.fields[f"zero_{name}"])

    def source_a(self) -> Lanes:
        """A."""
        a = self.read("a")
        return add_exactly(a, self.parameter(_BIAS)) if self.flags & VectorFlag.BIAS else a

    def source_b(self) -> Lanes:
        """B."""
        if self.flags & VectorFlag.B_LANE:
            return self.parameter(_CONSTANT)
        if self.fields["b_bank"] != Bank.NONE:
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
        x, registers = self.state.exponents, [self.fields[f"x_{n}"] for n in ("target", "a", "b")]
        exponent = x[registers[0]] - x[registers[1]] - x[registers[2]]
        total = clamp(shift + exponent, -_SHIFT_MAX, _SHIFT_MAX)
        rounding = round_tflite if self.flags & VectorFlag.TFLITE else round_shift
        return saturate(rounding(scaled, total), self.config.acc_bits)

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
        return shift, value * multiplier

    def second_multiplier(self) -> int:
        """Of source 2, or of negative values."""
        return self.multiplier("multiplier2")

    def multiplier(self, name: str) -> int:
        """The bits of a field that count; 1 without a scale multiplier."""
        bits = self.config.scale_bits
        return self.fields[name] & ((1 << bits) - 1) if bits else 1

    # Step 5: activation

    def activate(self, value: Lanes) -> tuple[Lanes, Lanes]:
        """``n`` and ``w``."""
        bits, activation = self.config.operand_bits, self.fields["activation"]
        low, high = (signed(self.fields[name], bits) for name in ("low", "high"))
        zero = self.fields["zero_target"]
        if activation == Activation.STEP:
            step = np.where(value > 0, high, np.where(value < 0, low, zero))
            return saturate(step, bits), step
        code = clamp(add_saturated(value, np.asarray(zero, np.int64)), low, high)
        if activation == Activation.TABLE:
            code = self.look_up(code)
            return code, code
        return code, value

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
