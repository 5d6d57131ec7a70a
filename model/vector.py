"""VECTOR on whole tensors (docs/machine.md, section 5)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pulsarray.isa import Activation, Alu, Bank, Instruction, Reduce, VectorFlag
from pulsarray.model.addresses import parameter_rows, vector_rows
from pulsarray.model.arithmetic import (
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

__all__ = ["run_vector"]

Lanes = npt.NDArray[np.int64]
_SHIFT_MAX = 63
_FAR = 1 << 62


def run_vector(state: State, instruction: Instruction) -> None:
    """Read all words, compute, write all words."""
    flags = VectorFlag(instruction["flags"])
    parameters = None
    if flags & (VectorFlag.BIAS | VectorFlag.LANE_SCALE | VectorFlag.B_LANE):
        parameters = state.parameters[parameter_rows(instruction)]
    a, b = _operands(state, instruction, flags, parameters)
    value = operate(Alu(instruction["alu"]), a, b, state.config)
    rounded = _requantize(state, instruction, flags, parameters, value, b)
    codes, sums = _activate(state, instruction, rounded)
    counted = _counted_lanes(state, instruction, len(rounded))
    bits = state.config.operand_bits, state.config.acc_bits
    for name, result, width in zip(("target", "acc"), (codes, sums), bits, strict=True):
        bank = instruction[f"{name}_bank"]
        if bank != Bank.NONE:
            reduced = _reduce(Reduce(instruction["reduce"]), result, counted, width)
            state.bank(bank)[vector_rows(instruction, name)] = reduced


def _operands(
    state: State, instruction: Instruction, flags: VectorFlag, parameters: Lanes | None
) -> tuple[Lanes, Lanes]:
    a = state.bank(instruction["a_bank"])[vector_rows(instruction, "a")]
    wide = state.config.acc_bits > 60
    zero = instruction["zero_a"]
    bias = parameters[:, 0] if parameters is not None and flags & VectorFlag.BIAS else 0
    # Sums of 64 bits leave int64 before they are saturated.
    if wide and (
        a.min(initial=0) < -_FAR // 2 or a.max(initial=0) > _FAR // 2 or flags & VectorFlag.BIAS
    ):
        a = a.astype(object) - zero + (bias.astype(object) if isinstance(bias, np.ndarray) else 0)
    else:
        a = a - zero + bias
    bank = instruction["b_bank"]
    if flags & VectorFlag.B_SCALAR:
        b = np.full(a.shape, instruction["scalar"])
    elif flags & VectorFlag.B_LANE:
        assert parameters is not None
        b = parameters[:, 3]
    elif bank == Bank.NONE:
        b = np.zeros(a.shape, np.int64)
    else:
        b = state.bank(bank)[vector_rows(instruction, "b")]
        b = (b.astype(object) if wide else b) - instruction["zero_b"]
    return a, b


def _requantize(
    state: State,
    instruction: Instruction,
    flags: VectorFlag,
    parameters: Lanes | None,
    value: Lanes,
    b: Lanes,
) -> Lanes:
    """Scale, shift and round to a sum."""
    config = state.config
    mask = (1 << config.scale_bits) - 1
    multiplier: Lanes | int = instruction["multiplier"] & mask
    shift: Lanes | int = instruction["shift"]
    if flags & VectorFlag.LANE_SCALE:
        assert parameters is not None
        multiplier, shift = parameters[:, 1], parameters[:, 2]
    multiplier2 = instruction["multiplier2"] & mask
    if not config.scale_bits:
        multiplier = multiplier2 = 1
    if flags & VectorFlag.LEAKY:
        multiplier = np.where(value < 0, multiplier2, multiplier)
        shift = np.where(value < 0, instruction["shift2"], shift)
    scaled = value * multiplier
    if flags & VectorFlag.RESIDUAL:
        other = saturate(b, config.operand_bits + 1).astype(np.int64)
        scaled = add_saturated(scaled, other * multiplier2)
    x = state.exponents
    exponent = x[instruction["x_target"]] - x[instruction["x_a"]] - x[instruction["x_b"]]
    total = clamp(np.asarray(shift + exponent, np.int64), -_SHIFT_MAX, _SHIFT_MAX)
    rounding = round_tflite if flags & VectorFlag.TFLITE else round_shift
    result: Lanes = saturate(rounding(scaled, total), config.acc_bits)
    return result


def _activate(state: State, instruction: Instruction, value: Lanes) -> tuple[Lanes, Lanes]:
    """Codes and sums after the activation."""
    bits = state.config.operand_bits
    low, high = (signed(instruction[name], bits) for name in ("low", "high"))
    zero = instruction["zero_target"]
    if instruction["activation"] == Activation.STEP:
        # The limits are operands, the zero point is not.
        step = np.where(value > 0, high, np.where(value < 0, low, zero))
        return saturate(step, bits), step
    code = clamp(clamp(value, -_FAR, _FAR) + zero, low, high)
    if instruction["activation"] == Activation.TABLE:
        code = _look_up(state, instruction, code)
        return code, code
    return code, value


def _look_up(state: State, instruction: Instruction, argument: Lanes) -> Lanes:
    config = state.config
    bits, segments = config.operand_bits, config.table_segments
    first = instruction["table"] * config.table_planes * config.table_words
    words = state.tables[first : first + config.table_planes * config.table_words]
    planes = words.reshape(config.table_planes, -1)[:, :segments]
    fraction_bits = bits - (segments - 1).bit_length()
    place = argument + (1 << (bits - 1))
    segment, fraction = place >> fraction_bits, place & ((1 << fraction_bits) - 1)
    if bits == 8:
        return np.asarray(planes[0][segment])
    offset = (planes[1] << 16) + (planes[0] & 0xFFFF)
    line = offset[segment] + planes[2][segment] * fraction
    result: Lanes = saturate(round_half_even(line, instruction["shift2"]), bits)
    return result


def _counted_lanes(state: State, instruction: Instruction, words: int) -> npt.NDArray[np.bool_]:
    """Lanes that are not excluded, shape (words, D) or (1, D)."""
    dim, last = state.config.dim, instruction["last_lanes"]
    counted = np.ones((words, dim), np.bool_)
    if 0 < last < dim:
        counted[words - words // instruction["count0"] :, last:] = False
    return counted


def _reduce(reduce: Reduce, values: Lanes, counted: npt.NDArray[np.bool_], bits: int) -> Lanes:
    """The word, or its maximum or sum, in the lanes that count; 0 in the others."""
    if reduce is Reduce.MAX:
        smallest = np.int64(-(1 << (bits - 1)))
        values = np.where(counted, values, smallest).max(axis=1, keepdims=True)
    elif reduce is Reduce.SUM:
        kept = np.where(counted, values, 0)
        total = (
            kept.astype(object).sum(axis=1, keepdims=True)
            if bits > 56
            else kept.sum(axis=1, keepdims=True)
        )
        values = saturate(total, bits).astype(np.int64)
    return np.where(counted, values, 0)
