"""Fields and addresses that would stop the machine, found without running a program."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from pulsarray.config import EXPONENTS, Config
from pulsarray.errors import ProgramError
from pulsarray.isa import (
    Activation,
    Alu,
    Bank,
    Instruction,
    Opcode,
    Reduce,
    StreamFlag,
    VectorFlag,
    WeightFlag,
)
from pulsarray.model.addresses import (
    is_wide,
    parameter_rows,
    stream_counts,
    stream_inside,
    stream_rows,
    transfer_addresses,
    vector_rows,
    weight_rows,
)
from pulsarray.program import Program
from pulsarray.registers import ErrorCode

__all__ = ["check"]

Words = npt.NDArray[np.int64]
_PRODUCTS = (Alu.MUL, Alu.DSIGMOID, Alu.DTANH)
_PARAMETERS = VectorFlag.BIAS | VectorFlag.LANE_SCALE | VectorFlag.B_LANE


def check(program: Program, memory_bytes: int) -> None:
    """Check every instruction up to END.

    Raises
    ------
    ProgramError
        With BAD_FIELD, ADDRESS, AXI_READ or AXI_WRITE, for the first instruction that the machine
        would stop on.
    """
    config = program.config
    for index, instruction in enumerate(program.instructions):
        if instruction.op is Opcode.END:
            return
        for wrong in _FIELDS[instruction.op](instruction, config):
            raise _error(ErrorCode.BAD_FIELD, index, instruction, wrong)
        for bank, rows in _ROWS[instruction.op](instruction, config):
            _check_rows(index, instruction, bank, rows, config)
        if instruction.op in (Opcode.LOAD, Opcode.STORE):
            _check_memory(index, instruction, memory_bytes, config)


def _error(code: ErrorCode, index: int, instruction: Instruction, wrong: str) -> ProgramError:
    return ProgramError(code, index, f"instruction {index}: {wrong}: {instruction.text()}")


def _depth(bank: int, config: Config) -> int:
    if bank < Bank.ACCUMULATOR:
        return config.scratchpad_depth
    if bank < Bank.PARAMETER:
        return config.accumulator_depth
    if bank == Bank.PARAMETER:
        return 4 * config.parameter_depth
    return config.tables * config.table_planes * config.table_words


def _check_rows(
    index: int, instruction: Instruction, bank: int, rows: Words, config: Config
) -> None:
    if not rows.size:
        return
    low, high, depth = int(rows.min()), int(rows.max()), _depth(bank, config)
    if low < 0 or high >= depth:
        row = high if high >= depth else low
        text = f"bank {bank:#04x} has words 0 to {depth - 1}, not {row}"
        raise _error(ErrorCode.ADDRESS, index, instruction, text)


def _check_memory(index: int, instruction: Instruction, memory_bytes: int, config: Config) -> None:
    _, addresses = transfer_addresses(instruction, config)
    size = config.acc_word_bytes if is_wide(instruction["bank"]) else config.word_bytes
    last = int(addresses.max()) + size
    if last > memory_bytes:
        code = ErrorCode.AXI_READ if instruction.op is Opcode.LOAD else ErrorCode.AXI_WRITE
        text = f"memory has {memory_bytes} bytes, and this touches byte {last - 1:#x}"
        raise _error(code, index, instruction, text)


def _scratchpad(bank: int, config: Config) -> bool:
    return bank < config.scratchpad_banks


def _accumulator(bank: int, config: Config) -> bool:
    return Bank.ACCUMULATOR <= bank < Bank.ACCUMULATOR + config.accumulator_banks


def _counts(instruction: Instruction) -> Iterator[str]:
    for level in range(instruction.format.levels):
        if not instruction[f"count{level}"]:
            yield f"count{level} must be at least 1"


def _transfer_fields(instruction: Instruction, config: Config) -> Iterator[str]:
    bank = instruction["bank"]
    known = _scratchpad(bank, config) or _accumulator(bank, config)
    if instruction.op is Opcode.LOAD:
        known = known or bank == Bank.PARAMETER or (bank == Bank.TABLE and config.tables > 0)
    if not known:
        yield f"{instruction.op.name} cannot reach bank {bank:#04x} of this machine"
    if not instruction["run"]:
        yield "run must be at least 1"
    yield from _counts(instruction)
    ratio = 4 if is_wide(bank) else 1
    if instruction["address"] % (ratio * config.word_bytes):
        yield f"address must be a multiple of {ratio * config.word_bytes}"
    for level in range(2):
        if instruction[f"memory_stride{level}"] % ratio and instruction[f"count{level}"] > 1:
            yield f"memory_stride{level} must be a multiple of {ratio}"


def _weight_fields(instruction: Instruction, config: Config) -> Iterator[str]:
    if not _scratchpad(instruction["bank"], config):
        yield f"bank must be one of {config.scratchpad_banks} scratchpad banks"
    known = WeightFlag.TRANSPOSE if config.transposer else 0
    if instruction["flags"] & ~known:
        yield "flags ask for what this machine has not"
    yield from _counts(instruction)


def _stream_fields(instruction: Instruction, config: Config) -> Iterator[str]:
    if not _scratchpad(instruction["source_bank"], config):
        yield f"source_bank must be one of {config.scratchpad_banks} scratchpad banks"
    if not _accumulator(instruction["target_bank"], config):
        yield f"target_bank must be one of {config.accumulator_banks} accumulator banks"
    flags = StreamFlag(instruction["flags"])
    known = functools.reduce(operator.or_, StreamFlag)
    if not config.transposer:
        known &= ~StreamFlag.TRANSPOSE
    if instruction["flags"] & ~int(known):
        yield "flags ask for what this machine has not"
    if flags & StreamFlag.TRANSPOSE and flags & StreamFlag.WINDOW_WRITE:
        yield "TRANSPOSE and WINDOW_WRITE exclude each other"
    levels = instruction.format.levels
    if instruction["fresh"] >> levels:
        yield f"fresh has bits for {levels} levels"
    if not 1 <= instruction["inner"] <= levels:
        yield f"inner must be 1 to {levels}"
        return
    yield from _counts(instruction)
    words = int(np.prod(stream_counts(instruction)[levels - instruction["inner"] :]))
    if flags & StreamFlag.TRANSPOSE and words % config.dim:
        yield f"the {words} words of a pass must be a multiple of {config.dim}"


def _vector_fields(instruction: Instruction, config: Config) -> Iterator[str]:
    a, b, target, acc = (instruction[f"{name}_bank"] for name in ("a", "b", "target", "acc"))
    if not (_scratchpad(a, config) or _accumulator(a, config)):
        yield "a_bank must be a scratchpad or accumulator bank"
    if b != Bank.NONE and not (_scratchpad(b, config) or _accumulator(b, config)):
        yield "b_bank must be a scratchpad or accumulator bank, or 255"
    if target != Bank.NONE and not _scratchpad(target, config):
        yield "target_bank must be a scratchpad bank, or 255"
    if acc != Bank.NONE and not _accumulator(acc, config):
        yield "acc_bank must be an accumulator bank, or 255"
    if target == acc == Bank.NONE:
        yield "there must be a destination"
    if a == b:
        yield "sources must be in different banks"
    yield from _counts(instruction)
    yield from _vector_operation(instruction, config)


def _vector_operation(instruction: Instruction, config: Config) -> Iterator[str]:
    alu, activation = instruction["alu"], instruction["activation"]
    flags = VectorFlag(instruction["flags"])
    if instruction["flags"] & ~int(functools.reduce(operator.or_, VectorFlag)):
        yield "flags have unknown bits"
    for name, names in (("alu", Alu), ("activation", Activation), ("reduce", Reduce)):
        if instruction[name] > max(names):
            yield f"{name} must be at most {max(names):d}"
    if alu in _PRODUCTS and not config.vector_multiply:
        yield "this machine has no vector multiply"
    constant = flags & (VectorFlag.B_SCALAR | VectorFlag.B_LANE)
    if constant and instruction["b_bank"] != Bank.NONE:
        yield "B_SCALAR and B_LANE need b_bank 255"
    if constant == VectorFlag.B_SCALAR | VectorFlag.B_LANE:
        yield "B_SCALAR and B_LANE exclude each other"
    if flags & VectorFlag.RESIDUAL and (alu != Alu.PASS or flags & VectorFlag.LEAKY):
        yield "RESIDUAL needs PASS, without LEAKY"
    if flags & VectorFlag.TFLITE and config.scale_bits != 31:
        yield "TFLITE needs scale_bits 31"
    if any(instruction[f"x_{name}"] >= EXPONENTS for name in ("target", "a", "b")):
        yield f"exponent registers are 0 to {EXPONENTS - 1}"
    if activation == Activation.TABLE:
        yield from _table(instruction, config, flags)


def _table(instruction: Instruction, config: Config, flags: VectorFlag) -> Iterator[str]:
    if instruction["table"] >= config.tables:
        yield f"this machine has {config.tables} tables"
    if config.operand_bits == 16 and (flags & VectorFlag.LEAKY or instruction["shift2"] < 0):
        yield "a table of 16-bit operands takes shift2 as its shift: not negative, no LEAKY"


def _exponent_fields(instruction: Instruction, _config: Config) -> Iterator[str]:
    if not 1 <= instruction["register"] < EXPONENTS:
        yield f"register must be 1 to {EXPONENTS - 1}"


def _transfer_rows(instruction: Instruction, config: Config) -> Iterator[tuple[int, Words]]:
    yield instruction["bank"], transfer_addresses(instruction, config)[0]


def _weight_words(instruction: Instruction, config: Config) -> Iterator[tuple[int, Words]]:
    rows, inside = weight_rows(instruction, config)
    yield instruction["bank"], rows[inside]


def _stream_words(instruction: Instruction, _config: Config) -> Iterator[tuple[int, Words]]:
    for name, flag in (("source", StreamFlag.WINDOW_READ), ("target", StreamFlag.WINDOW_WRITE)):
        rows = stream_rows(instruction, name)
        if instruction["flags"] & flag:
            rows = rows[stream_inside(instruction)]
        yield instruction[f"{name}_bank"], rows


def _vector_words(instruction: Instruction, _config: Config) -> Iterator[tuple[int, Words]]:
    for name in ("a", "b", "target", "acc"):
        if instruction[f"{name}_bank"] != Bank.NONE:
            yield instruction[f"{name}_bank"], vector_rows(instruction, name)
    if instruction["flags"] & _PARAMETERS:
        yield int(Bank.PARAMETER), 4 * parameter_rows(instruction)


def _no_rows(_instruction: Instruction, _config: Config) -> Iterator[tuple[int, Words]]:
    return iter(())


_FIELDS: dict[Opcode, Callable[[Instruction, Config], Iterator[str]]] = {
    Opcode.LOAD: _transfer_fields,
    Opcode.STORE: _transfer_fields,
    Opcode.WEIGHT: _weight_fields,
    Opcode.STREAM: _stream_fields,
    Opcode.VECTOR: _vector_fields,
    Opcode.EXPONENT: _exponent_fields,
}
_ROWS: dict[Opcode, Callable[[Instruction, Config], Iterator[tuple[int, Words]]]] = {
    Opcode.LOAD: _transfer_rows,
    Opcode.STORE: _transfer_rows,
    Opcode.WEIGHT: _weight_words,
    Opcode.STREAM: _stream_words,
    Opcode.VECTOR: _vector_words,
    Opcode.EXPONENT: _no_rows,
}
