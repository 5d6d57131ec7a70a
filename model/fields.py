"""Fields that the machine refuses (BAD_FIELD), instruction by instruction.

Every function yields pairs of a field's name and the rule that its value breaks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import prod

from pulsarray.config import EXPONENTS, Config
from pulsarray.isa import (
    Activation,
    Alu,
    Bank,
    Instruction,
    Opcode,
    Reduce,
    ScaleAction,
    StreamFlag,
    VectorFlag,
    WeightFlag,
)
from pulsarray.model.addresses import is_wide, stream_counts, word_size
from pulsarray.model.uses import TABLES
from pulsarray.parts import vector_flags

__all__ = ["wrong_fields"]

Wrong = Iterator[tuple[str, str]]

_PRODUCTS = (Alu.MUL, Alu.DSIGMOID, Alu.DTANH)
_STREAM_FLAGS = sum(map(int, StreamFlag))


def wrong_fields(instruction: Instruction, config: Config) -> Wrong:
    """Fields that break a rule of docs/machine.md, section 5, and the rule."""
    for level in range(instruction.format.levels):
        if not instruction[f"count{level}"]:
            yield f"count{level}", "at least 1"
    yield from _RULES[instruction.op](instruction, config)


def _scratchpad(bank: int, config: Config) -> bool:
    return bank < config.scratchpad_banks


def _accumulator(bank: int, config: Config) -> bool:
    return Bank.ACCUMULATOR <= bank < Bank.ACCUMULATOR + config.accumulator_banks


def _scratchpad_rule(config: Config) -> str:
    return f"a scratchpad bank (0 to {config.scratchpad_banks - 1})"


def _accumulator_rule(config: Config) -> str:
    first = int(Bank.ACCUMULATOR)
    return f"an accumulator bank ({first} to {first + config.accumulator_banks - 1})"


def _transfer(instruction: Instruction, config: Config) -> Wrong:
    bank = instruction["bank"]
    loaded = (Bank.PARAMETER, Bank.TABLE) if config.tables else (Bank.PARAMETER,)
    others = loaded if instruction.op is Opcode.LOAD else ()
    if not (_scratchpad(bank, config) or _accumulator(bank, config) or bank in others):
        rules = _scratchpad_rule(config), _accumulator_rule(config), *(f"{n:d}" for n in others)
        yield "bank", ", ".join(rules)
    if not instruction["run"]:
        yield "run", "at least 1"
    size = word_size(bank, config)
    if instruction["address"] % size:
        yield "address", f"a multiple of the bank's word in memory, {size} bytes"
    for level in range(2):
        # A level of one iteration steps nowhere.
        odd = instruction[f"memory_stride{level}"] % 4 and instruction[f"count{level}"] > 1
        if is_wide(bank) and odd:
            yield f"memory_stride{level}", "a multiple of 4 operand words, an accumulator word"


def _weight(instruction: Instruction, config: Config) -> Wrong:
    if not _scratchpad(instruction["bank"], config):
        yield "bank", _scratchpad_rule(config)
    known = int(WeightFlag.TRANSPOSE) if config.transposer else 0
    if instruction["flags"] & ~known:
        yield "flags", f"bits of {known:#x} (transposer: {config.transposer})"


def _stream(instruction: Instruction, config: Config) -> Wrong:
    if not _scratchpad(instruction["source_bank"], config):
        yield "source_bank", _scratchpad_rule(config)
    if not _accumulator(instruction["target_bank"], config):
        yield "target_bank", _accumulator_rule(config)
    levels, inner, flags = instruction.format.levels, instruction["inner"], instruction["flags"]
    known = _STREAM_FLAGS - (0 if config.transposer else int(StreamFlag.TRANSPOSE))
    if flags & ~known:
        yield "flags", f"bits of {known:#x} (transposer: {config.transposer})"
    if flags & StreamFlag.TRANSPOSE and flags & StreamFlag.WINDOW_WRITE:
        yield "flags", "without WINDOW_WRITE where it has TRANSPOSE"
    if instruction["fresh"] >> levels:
        yield "fresh", f"bits of the {levels} levels"
    if not 1 <= inner <= levels:
        yield "inner", f"1 to {levels}"
    elif flags & StreamFlag.TRANSPOSE and _pass_words(instruction) % config.dim:
        words = _pass_words(instruction)
        yield "flags", f"without TRANSPOSE where a pass has {words} words, no multiple of D"


def _pass_words(instruction: Instruction) -> int:
    return prod(stream_counts(instruction)[5 - instruction["inner"] :])


def _vector(instruction: Instruction, config: Config) -> Wrong:
    yield from _vector_banks(instruction, config)
    alu, activation = (
        (Alu.SCALED, Activation.RECIPROCAL) if config.training else (Alu.GREATER, Activation.TABLE)
    )
    for name, last in (("alu", alu), ("activation", activation), ("reduce", max(Reduce))):
        if instruction[name] > last:
            yield name, f"0 to {last:d} (training: {config.training})"
    if instruction["alu"] in _PRODUCTS and not config.vector_multiply:
        yield "alu", "no product (vector_multiply: False)"
    highest = EXPONENTS - 1 if config.training else 0
    for name in ("x_target", "x_a", "x_b"):
        if instruction[name] > highest:
            yield name, f"0 to {highest} (training: {config.training})"
    yield from _vector_flags(instruction, config)
    if instruction["activation"] in TABLES:
        yield from _table(instruction, config)


def _vector_banks(instruction: Instruction, config: Config) -> Wrong:
    a, b, target, acc = (instruction[f"{name}_bank"] for name in ("a", "b", "target", "acc"))
    source = f"{_scratchpad_rule(config)} or {_accumulator_rule(config)}"
    if not (_scratchpad(a, config) or _accumulator(a, config)):
        yield "a_bank", source
    if b != Bank.NONE and not (_scratchpad(b, config) or _accumulator(b, config)):
        yield "b_bank", f"{source}, or 255"
    if target != Bank.NONE and not _scratchpad(target, config):
        yield "target_bank", f"{_scratchpad_rule(config)}, or 255"
    if acc != Bank.NONE and not _accumulator(acc, config):
        yield "acc_bank", f"{_accumulator_rule(config)}, or 255"
    if target == acc == Bank.NONE:
        yield "target_bank", "a bank where acc_bank is 255"
    if a == b:
        yield "b_bank", "another bank than a_bank"


def _vector_flags(instruction: Instruction, config: Config) -> Wrong:
    flags = instruction["flags"]
    known = vector_flags(config)
    if flags & ~int(known):
        parts = ("training", "tflite", "scale_bits", "residual", "leaky")
        has = ", ".join(f"{name}: {getattr(config, name)}" for name in parts)
        yield "flags", f"bits of {int(known):#x} ({has})"
    scalar, lane = flags & VectorFlag.B_SCALAR, flags & VectorFlag.B_LANE
    if scalar and lane:
        yield "flags", "without B_LANE where it has B_SCALAR"
    yield from _after(instruction)
    if instruction["alu"] == Alu.SCALED and flags & (VectorFlag.LANE_SCALE | VectorFlag.LEAKY):
        yield "flags", "without LANE_SCALE and LEAKY where alu is SCALED"
    if flags & VectorFlag.RESIDUAL and instruction["alu"] != Alu.PASS:
        yield "alu", "PASS where flags have RESIDUAL"
    if flags & VectorFlag.RESIDUAL and flags & VectorFlag.LEAKY:
        yield "flags", "without LEAKY where it has RESIDUAL"


def _after(instruction: Instruction) -> Wrong:
    flags, no_b = instruction["flags"], instruction["b_bank"] == Bank.NONE
    add, subtract = flags & VectorFlag.ADD_AFTER, flags & VectorFlag.SUB_AFTER
    if add and subtract:
        yield "flags", "without SUB_AFTER where it has ADD_AFTER"
    if (add or subtract) and no_b:
        yield "b_bank", "a bank where flags have ADD_AFTER or SUB_AFTER"
    constant = flags & (VectorFlag.B_SCALAR | VectorFlag.B_LANE)
    if constant and not (add or subtract or no_b):
        yield "b_bank", "255 where flags have B_SCALAR or B_LANE"


def _table(instruction: Instruction, config: Config) -> Wrong:
    if instruction["table"] >= config.tables:
        yield "table", f"less than {config.tables}, the tables of this machine"
    if config.operand_bits == 16:
        if instruction["flags"] & VectorFlag.LEAKY:
            yield "flags", "without LEAKY where a table takes shift2"
        if not 0 <= instruction["shift2"] <= 63:
            yield "shift2", "0 to 63, the shift of a table"


def _exponent(instruction: Instruction, _: Config) -> Wrong:
    if not 1 <= instruction["register"] < EXPONENTS:
        yield "register", f"1 to {EXPONENTS - 1}"
    for name in ("a", "b"):
        if instruction[name] >= EXPONENTS:
            yield name, f"0 to {EXPONENTS - 1}"
    if instruction["maximum"] > 1:
        yield "maximum", "0 or 1"


def _scale(instruction: Instruction, config: Config) -> Wrong:
    if not config.training:
        yield "opcode", "another (training: False)"
    if instruction["action"] > max(ScaleAction):
        yield "action", f"0 to {max(ScaleAction):d}"
    if instruction["register"] >= EXPONENTS:
        yield "register", f"0 to {EXPONENTS - 1}"
    if not _accumulator(instruction["bank"], config):
        yield "bank", _accumulator_rule(config)


_RULES: dict[Opcode, Callable[[Instruction, Config], Wrong]] = {
    Opcode.LOAD: _transfer,
    Opcode.STORE: _transfer,
    Opcode.WEIGHT: _weight,
    Opcode.STREAM: _stream,
    Opcode.VECTOR: _vector,
    Opcode.EXPONENT: _exponent,
    Opcode.SCALE: _scale,
}
