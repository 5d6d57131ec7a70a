"""What stops the machine: code, index, and a message with instruction, field, rule and value."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest

from pulsarray.config import Config
from pulsarray.errors import ProgramError, UnknownResult
from pulsarray.isa import Bank, Instruction, Opcode, StreamFlag, VectorFlag, encode_all
from pulsarray.model.checks import check
from pulsarray.model.run import run
from pulsarray.program import Program
from pulsarray.registers import ErrorCode
from tests.sim import bad_programs

make = Instruction.make
SMALL = bad_programs.CONFIG
SIZE = 1 << 14
WIDE = Config(
    dim=4, operand_bits=16, acc_bits=48, scale_bits=0, bus_bits=64, transposer=False,
    vector_multiply=False, tables=2,
)  # fmt: skip
TRAINING = replace(WIDE, vector_multiply=True, training=True)
STATIC = {name: bad for name, bad in bad_programs.CASES.items() if bad.cycle_limit is None}


def assemble(*instructions: Instruction, config: Config = SMALL) -> Program:
    code = encode_all([*instructions, make(Opcode.END)])
    memory = np.zeros(SIZE, np.uint8)
    return Program(config=config, code=code, code_address=0, memory=memory, tensors=[], layers=[])


def refused(instruction: Instruction, config: Config = SMALL) -> ProgramError:
    with pytest.raises(ProgramError) as caught:
        check(assemble(make(Opcode.EXPONENT, register=1), instruction, config=config), SIZE)
    assert caught.value.index == 1
    return caught.value


@pytest.mark.parametrize("name", STATIC)
def test_stops_as_the_machine_does(name: str) -> None:
    bad = STATIC[name]
    with pytest.raises(ProgramError) as caught:
        run(bad.program)
    assert (caught.value.code, caught.value.index) == (bad.error, bad.index)


def test_endless_program() -> None:
    with pytest.raises(ProgramError, match="deadlock") as caught:
        run(bad_programs.CASES["other: endless"].program)
    assert (caught.value.code, caught.value.index) == (ErrorCode.CYCLE_LIMIT, -1)


def test_message_names_instruction_field_rule_and_value() -> None:
    error = refused(make(Opcode.LOAD, bank=9, run=2))
    assert str(error) == (
        "instruction 1 (LOAD bank=SCRATCHPAD9 run=2): bank must be a scratchpad bank (0 to 3), "
        "an accumulator bank (64 to 65), 128, 129, not 9 (seen ahead of the run)"
    )


def test_address_message() -> None:
    error = refused(make(Opcode.LOAD, bank=1, local=30, run=3))
    assert str(error) == (
        "instruction 1 (LOAD bank=SCRATCHPAD1 local=30 run=3): "
        "local must stay within the bank's words 0 to 31, not reach 32 (seen ahead of the run)"
    )


VECTOR = {"a_bank": 0x40, "target_bank": 1}


@pytest.mark.parametrize("flag", [VectorFlag.TFLITE, VectorFlag.RESIDUAL, VectorFlag.LEAKY])
def test_lanes_without_a_part(flag: VectorFlag) -> None:
    """A flag is refused where the part that it needs is absent; the text names the part."""
    instruction, name = make(Opcode.VECTOR, **VECTOR, flags=flag), str(flag.name).lower()
    error = refused(instruction, replace(SMALL, **{name: False}))
    assert error.code == ErrorCode.BAD_FIELD
    assert f"flags must be bits of {127 & ~flag:#x} (" in str(error)
    assert f"{name}: False" in str(error)
    others = {"tflite": False, "residual": False, "leaky": False} | {name: True}
    with suppress(UnknownResult):
        check(assemble(instruction, config=replace(SMALL, **others)), SIZE)


@pytest.mark.parametrize(
    ("instruction", "field"),
    [
        (make(Opcode.LOAD, bank=Bank.PARAMETER, address=32, memory_stride1=2, count1=2),
         "memory_stride1"),
        (make(Opcode.WEIGHT, bank=0, flags=1), "flags"),
        (make(Opcode.STREAM, target_bank=0x40, flags=StreamFlag.TRANSPOSE, count4=4), "flags"),
        (make(Opcode.STREAM, target_bank=0x40, fresh=32), "fresh"),
        (make(Opcode.VECTOR, **VECTOR, alu=4), "alu"),
        (make(Opcode.VECTOR, **VECTOR, flags=VectorFlag.TFLITE), "flags"),
        (make(Opcode.VECTOR, **VECTOR, flags=VectorFlag.RESIDUAL | VectorFlag.LEAKY), "flags"),
        (make(Opcode.VECTOR, **VECTOR, flags=96), "flags"),
        (make(Opcode.VECTOR, **VECTOR, activation=2, table=2), "table"),
        (make(Opcode.VECTOR, **VECTOR, activation=2, shift2=64), "shift2"),
        (make(Opcode.VECTOR, **VECTOR, activation=2, shift2=-1), "shift2"),
        (make(Opcode.VECTOR, **VECTOR, activation=2, flags=VectorFlag.LEAKY), "flags"),
        (make(Opcode.VECTOR, **VECTOR, x_b=1), "x_b"),
        (make(Opcode.VECTOR, **VECTOR, acc_bank=0x50), "acc_bank"),
        (make(Opcode.VECTOR, **VECTOR, alu=12), "alu"),
        (make(Opcode.VECTOR, **VECTOR, activation=3), "activation"),
        (make(Opcode.VECTOR, **VECTOR, flags=VectorFlag.STATISTIC), "flags"),
    ],
)  # fmt: skip
def test_bad_fields_of_a_machine_without_parts(instruction: Instruction, field: str) -> None:
    error = refused(instruction, WIDE)
    assert error.code == ErrorCode.BAD_FIELD
    assert f"): {field} must be " in str(error)


SCALED = {**VECTOR, "alu": 12}


@pytest.mark.parametrize(
    ("instruction", "field"),
    [
        (make(Opcode.VECTOR, **VECTOR, x_b=64), "x_b"),
        (make(Opcode.EXPONENT, register=1, a=64), "a"),
        (make(Opcode.EXPONENT, register=1, b=64), "b"),
        (make(Opcode.EXPONENT, register=1, maximum=2), "maximum"),
        (make(Opcode.EXPONENT, register=64), "register"),
        (make(Opcode.SCALE, action=3), "action"),
        (make(Opcode.SCALE, register=64), "register"),
        (make(Opcode.SCALE, action=2, bank=0), "bank"),
        (make(Opcode.VECTOR, **SCALED, flags=VectorFlag.LANE_SCALE), "flags"),
        (make(Opcode.VECTOR, **SCALED, flags=VectorFlag.LEAKY), "flags"),
        (make(Opcode.VECTOR, **VECTOR, b_bank=2, flags=256 | 512), "flags"),
        (make(Opcode.VECTOR, **VECTOR, flags=VectorFlag.ADD_AFTER), "b_bank"),
        (make(Opcode.VECTOR, **VECTOR, b_bank=2, flags=128 | 32), "b_bank"),
        (make(Opcode.VECTOR, **VECTOR, activation=4, table=2), "table"),
        (make(Opcode.VECTOR, **VECTOR, activation=5, shift2=64), "shift2"),
        (make(Opcode.VECTOR, **VECTOR, activation=5, flags=VectorFlag.LEAKY), "flags"),
    ],
)  # fmt: skip
def test_bad_fields_of_a_machine_that_trains(instruction: Instruction, field: str) -> None:
    error = refused(instruction, TRAINING)
    assert error.code == ErrorCode.BAD_FIELD
    assert f"): {field} must be " in str(error)


@pytest.mark.parametrize("action", [0, 1, 2])
def test_scale_needs_training_and_a_word(action: int) -> None:
    scale = make(Opcode.SCALE, action=action, word=TRAINING.accumulator_depth)
    assert refused(scale, replace(TRAINING, training=False)).code == ErrorCode.BAD_FIELD
    if action == 2:  # ADAPT has no word.
        check(assemble(scale, config=TRAINING), SIZE)
    else:
        assert refused(scale, TRAINING).code == ErrorCode.ADDRESS


def test_no_tables_no_table_bank() -> None:
    load = make(Opcode.LOAD, bank=Bank.TABLE)
    assert refused(load, replace(SMALL, tables=0)).code == ErrorCode.BAD_FIELD
    check(assemble(load), SIZE)


@pytest.mark.parametrize(
    "instruction",
    [
        # Zero rows, and words outside the window, are not accesses.
        make(Opcode.WEIGHT, bank=0, local=31, row_limit=1),
        make(
            Opcode.STREAM, target_bank=0x40, flags=StreamFlag.WINDOW_READ, source=30, count4=9,
            source_stride4=1, column_step4=1, row_limit=1, column_limit=2,
        ),
        make(
            Opcode.STREAM, target_bank=0x40, flags=StreamFlag.WINDOW_WRITE, target=14, count4=9,
            target_stride4=1, column_step4=1, row_limit=1, column_limit=2,
        ),
        make(Opcode.LOAD, bank=0, local=31, count1=32, local_stride1=-1),
        # A stride that is never taken may be odd.
        make(Opcode.LOAD, bank=0x40, memory_stride0=1),
        make(Opcode.VECTOR, **VECTOR, last_lanes=200, parameter=9999),
    ],
)  # fmt: skip
def test_allowed(instruction: Instruction) -> None:
    assert list(check(assemble(instruction), SIZE)) == [instruction]


def test_two_units_wait_for_one_semaphore() -> None:
    program = assemble(make(Opcode.STORE, wait=4), make(Opcode.LOAD, wait=6))
    with pytest.raises(
        ProgramError, match="wait must name semaphores of one unit, not 2"
    ) as caught:
        check(program, SIZE)
    assert isinstance(caught.value, UnknownResult)
    assert (caught.value.code, caught.value.index) == (ErrorCode.NONE, 1)


def test_unknown_bytes_after_end_are_nobodys() -> None:
    program = assemble()
    assert list(check(replace(program, code=program.code + b"\x77" * 32), SIZE)) == []
