"""Programs that the machine must stop on, each with the code and the index it must report."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pulsarray.config import Config
from pulsarray.isa import Bank, Instruction, Opcode, encode_all
from pulsarray.program import Program
from pulsarray.registers import ErrorCode

CONFIG = Config(
    dim=3,
    bus_bits=16,
    burst_beats=16,
    scratchpad_banks=4,
    scratchpad_depth=32,
    accumulator_depth=16,
    parameter_depth=4,
    tables=1,
    outstanding=2,
    queue_depth=2,
)
CODE, SIZE = 4096, 4 * 4096
DEPTH, SUMS = CONFIG.scratchpad_depth, CONFIG.accumulator_depth
END = Instruction.make(Opcode.END)
make = Instruction.make


@dataclass(frozen=True)
class Bad:
    """What is run, and how it must end."""

    program: Program
    error: ErrorCode
    index: int
    cycle_limit: int | None = None


def program(code: bytes) -> Program:
    """A program of raw bytes, with data before it."""
    memory = np.random.default_rng(1).integers(0, 256, SIZE, np.uint8)
    memory[CODE:] = 0
    memory[CODE : CODE + len(code)] = np.frombuffer(code, np.uint8)
    return Program(
        config=CONFIG, code=code, code_address=CODE, memory=memory, tensors=[], layers=[]
    )


def load(**fields: int) -> Instruction:
    """A LOAD of two words into bank 0."""
    return make(Opcode.LOAD, **{"run": 2, **fields})


def store(**fields: int) -> Instruction:
    """A STORE of two words of bank 0."""
    return make(Opcode.STORE, **{"run": 2, "address": 0x800, **fields})


def weight(**fields: int) -> Instruction:
    """A WEIGHT of one tile from bank 1."""
    return make(Opcode.WEIGHT, **{"bank": 1, **fields})


def stream(**fields: int) -> Instruction:
    """A STREAM of eight words from bank 2."""
    usual = {"source_bank": 2, "target_bank": Bank.ACCUMULATOR, "count4": 8, "inner": 1}
    steps = {"source_stride4": 1, "target_stride4": 1}
    return make(Opcode.STREAM, **{**usual, **steps, **fields})


def vector(**fields: int) -> Instruction:
    """A VECTOR of eight words from an accumulator bank to bank 3."""
    usual = {"a_bank": Bank.ACCUMULATOR, "target_bank": 3, "count3": 8, "low": -128, "high": 127}
    return make(Opcode.VECTOR, **{**usual, "a_stride3": 1, "target_stride3": 1, **fields})


def stops(error: ErrorCode, index: int, *instructions: Instruction) -> Bad:
    """These instructions and END stop with an error at an index."""
    return Bad(program(encode_all([*instructions, END])), error, index)


def _bad_field(*instructions: Instruction) -> Bad:
    return stops(ErrorCode.BAD_FIELD, len(instructions) - 1, *instructions)


def _address(*instructions: Instruction) -> Bad:
    return stops(ErrorCode.ADDRESS, len(instructions) - 1, *instructions)


def _illegal(index: int, code: bytes) -> Bad:
    return Bad(program(code), ErrorCode.ILLEGAL_OPCODE, index)


BAD_FIELDS = {
    "load run": _bad_field(load(), load(run=0)),
    "load count": _bad_field(load(count1=0)),
    "load bank": _bad_field(load(bank=4)),
    "load address": _bad_field(load(address=2)),
    "load sums address": _bad_field(load(bank=Bank.ACCUMULATOR, address=4)),
    "load sums stride": _bad_field(load(bank=Bank.ACCUMULATOR, count0=2, memory_stride0=2)),
    "store bank": _bad_field(load(), store(bank=Bank.PARAMETER)),
    "store run": _bad_field(store(run=0)),
    "weight bank": _bad_field(weight(bank=Bank.ACCUMULATOR)),
    "weight count": _bad_field(weight(count0=0)),
    "weight flags": _bad_field(weight(flags=2)),
    "stream inner 0": _bad_field(stream(inner=0)),
    "stream inner 6": _bad_field(stream(inner=6)),
    "stream count": _bad_field(stream(count2=0)),
    "stream source": _bad_field(stream(source_bank=Bank.ACCUMULATOR)),
    "stream target": _bad_field(stream(target_bank=0)),
    "stream flags": _bad_field(stream(flags=32)),
    "stream window": _bad_field(stream(flags=17, count4=9)),
    "stream transpose": _bad_field(weight(), stream(flags=1)),
    "stream transpose, later": _bad_field(weight(count0=2), stream(flags=1, count3=2, count4=4)),
    "vector alu": _bad_field(vector(alu=12)),
    "vector activation": _bad_field(vector(activation=3)),
    "vector reduce": _bad_field(vector(reduce=3)),
    "vector flags": _bad_field(vector(flags=128)),
    "vector no destination": _bad_field(vector(target_bank=Bank.NONE)),
    "vector same source": _bad_field(vector(b_bank=Bank.ACCUMULATOR)),
    "vector scalar and bank": _bad_field(vector(b_bank=1, flags=32)),
    "vector residual add": _bad_field(vector(alu=1, flags=16)),
    "vector without exponents": _bad_field(vector(x_a=1)),
    "exponent 0": _bad_field(make(Opcode.EXPONENT, register=0)),
    "exponent 64": _bad_field(make(Opcode.EXPONENT, register=64)),
}

ADDRESSES = {
    "load": _address(load(local=DEPTH - 1)),
    "load far": _address(load(local=0xFFFF, run=1)),
    "load sums": _address(load(bank=Bank.ACCUMULATOR, local=SUMS - 1)),
    "load parameters": _address(load(bank=Bank.PARAMETER, local=4 * CONFIG.parameter_depth - 1)),
    "load table": _address(load(bank=Bank.TABLE, local=CONFIG.table_words - 1)),
    "store": _address(load(), store(local=DEPTH - 1)),
    "store sums": _address(store(bank=Bank.ACCUMULATOR, local=SUMS)),
    "weight": _address(weight(local=DEPTH - 2)),
    "stream source": _address(weight(), stream(source=DEPTH - 7)),
    "stream target": _address(weight(), stream(target=SUMS - 7)),
    "vector source": _address(vector(a=SUMS - 7)),
    "vector target": _address(vector(target=DEPTH - 7)),
    "vector target, later": stops(ErrorCode.ADDRESS, 0, vector(target=DEPTH - 7), vector()),
    "vector parameter": _address(vector(flags=1, parameter=CONFIG.parameter_depth)),
}

CONFLICTS = {
    "weight and stream": stops(
        ErrorCode.PORT_CONFLICT, 2, weight(), stream(source_bank=2, count4=16, target_stride4=0),
        stream(source_bank=1, count3=16, inner=2, target_stride4=0),
        weight(count0=2), stream(source_bank=1, count4=16, target_stride4=0),
    ),
    "stream and vector": stops(
        ErrorCode.PORT_CONFLICT, 2, weight(),
        stream(count3=16, inner=2, target_stride4=0, source_stride4=0), vector(count2=16),
    ),
    "and a LOAD that waits for ever": stops(
        ErrorCode.PORT_CONFLICT, 2, weight(),
        stream(count3=16, inner=2, target_stride4=0, source_stride4=0), vector(count2=16),
        load(wait=1),
    ),
    "tiles that nobody takes": stops(
        ErrorCode.PORT_CONFLICT, 1, weight(count0=3), vector(a_bank=1),
    ),
}  # fmt: skip

_SIGNAL = make(Opcode.EXPONENT, register=1, signal=4)

OTHERS = {
    "opcode": _illegal(1, encode_all([load()]) + bytes([0x77, 1]) + bytes(30)),
    "opcode 0": _illegal(0, bytes(64)),
    "length": _illegal(0, bytes([Opcode.STREAM, 1]) + bytes(62)),
    "semaphore": stops(ErrorCode.SEMAPHORE, 255, *[_SIGNAL] * 300),
    "read": stops(ErrorCode.AXI_READ, 1, load(), load(address=SIZE - 4, run=3)),
    "write": stops(ErrorCode.AXI_WRITE, 1, load(), store(address=SIZE - 4)),
    "no end": Bad(program(encode_all([load(), _SIGNAL])), ErrorCode.PROGRAM_END, -1),
    "endless": Bad(program(encode_all([load(wait=1), END])), ErrorCode.CYCLE_LIMIT, -1, 5000),
}

CASES = {
    f"{group}: {name}": bad
    for group, cases in (
        ("BAD_FIELD", BAD_FIELDS),
        ("ADDRESS", ADDRESSES),
        ("PORT_CONFLICT", CONFLICTS),
        ("other", OTHERS),
    )
    for name, bad in cases.items()
}
