"""Programs that the compiler would refuse to write."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pulsarray.compiler.gemm import compile_gemm
from pulsarray.compiler.machine.check import check
from pulsarray.config import PRESETS
from pulsarray.errors import ProgramError
from pulsarray.isa import Instruction, Opcode, encode_all
from pulsarray.program import Program
from pulsarray.registers import ErrorCode

TINY = PRESETS["tiny"]


def broken(op: Opcode, **fields: int) -> Program:
    """A good program whose first instruction of a kind is changed."""
    program = compile_gemm(9, 9, 9, TINY)
    code, done = [], False
    for old in program.instructions:
        names = [field.name for field in old.format.fields]
        values = dict(zip(names, old.values, strict=True))
        if old.op is op and not done:
            values |= fields
            done = True
        code.append(Instruction.make(old.op, **values))
    return replace(program, code=encode_all(code))


def test_good_program_passes() -> None:
    program = compile_gemm(9, 9, 9, TINY)
    check(program)


@pytest.mark.parametrize(
    ("op", "fields", "code", "text"),
    [
        (
            Opcode.LOAD,
            {"local": 511, "run": 2},
            ErrorCode.ADDRESS,
            "local must stay within the bank's words 0 to 511, not reach 512",
        ),
        (Opcode.LOAD, {"address": 0x1000}, ErrorCode.ADDRESS, "not inside one tensor that LOAD"),
        (Opcode.STORE, {"address": 0x100}, ErrorCode.ADDRESS, "not inside one tensor that STORE"),
        (Opcode.WEIGHT, {"local": 510}, ErrorCode.ADDRESS, "bank's words 0 to 511, not reach 512"),
        (Opcode.STREAM, {"target": 128}, ErrorCode.ADDRESS, "words 0 to 127, not reach 128"),
        (Opcode.VECTOR, {"a_bank": 0x42}, ErrorCode.BAD_FIELD, "a_bank must be a scratchpad bank"),
        (Opcode.STREAM, {"wait": 0}, ErrorCode.SEMAPHORE, "ends at 1 instead of 0"),
        (Opcode.LOAD, {"wait": 1 << 15}, ErrorCode.SEMAPHORE, "semaphore 15 ends at -1"),
        (Opcode.STORE, {"wait": 1}, ErrorCode.NONE, "semaphores of one unit, not 0"),
    ],
)
def test_check_wrong(op: Opcode, fields: dict[str, int], code: ErrorCode, text: str) -> None:
    with pytest.raises(ProgramError, match=text) as error:
        check(broken(op, **fields))
    assert error.value.code == code


def test_overflow_is_found_without_running() -> None:
    program = compile_gemm(4, 4, 4, TINY)
    source = program.tensor("x").address
    load = Instruction.make(Opcode.LOAD, run=1, signal=1, address=source)
    weight = Instruction.make(Opcode.WEIGHT, wait=1)
    code = encode_all([*[load] * 300, *[weight] * 300, Instruction.make(Opcode.END)])
    program = Program(
        config=TINY, code=code, code_address=0, memory=np.zeros(1 << 15, np.uint8),
        tensors=program.tensors, layers=[],
    )  # fmt: skip
    with pytest.raises(ProgramError, match="instruction 255: semaphore 0 may count more than 255"):
        check(program)
