"""Names of the instruction set: units, opcodes, banks, flags and operations."""

from __future__ import annotations

from enum import IntEnum, IntFlag

__all__ = [
    "Activation",
    "Alu",
    "Bank",
    "Opcode",
    "Reduce",
    "ScaleAction",
    "Semaphore",
    "StreamFlag",
    "Unit",
    "VectorFlag",
    "WeightFlag",
]


Semaphore = IntFlag(
    "Semaphore",
    "SEM0 SEM1 SEM2 SEM3 SEM4 SEM5 SEM6 SEM7 SEM8 SEM9 SEM10 SEM11 SEM12 SEM13 SEM14 SEM15",
)
"""Bits of ``wait`` and ``signal``, one a semaphore."""


class Unit(IntEnum):
    """The units that execute instructions, each from an in-order queue of its own."""

    LOAD = 0
    WEIGHT = 1
    STREAM = 2
    VECTOR = 3
    STORE = 4


class Opcode(IntEnum):
    """First byte of an instruction."""

    END = 0x01
    LOAD = 0x10
    WEIGHT = 0x11
    STREAM = 0x12
    VECTOR = 0x13
    STORE = 0x14
    EXPONENT = 0x15
    SCALE = 0x16


class Bank(IntEnum):
    """First number of each class of bank in a bank field (a class has room for 64)."""

    SCRATCHPAD = 0x00
    ACCUMULATOR = 0x40
    PARAMETER = 0x80
    TABLE = 0x81
    NONE = 0xFF


class WeightFlag(IntFlag):
    """Bits of WEIGHT's ``flags``."""

    TRANSPOSE = 1


class StreamFlag(IntFlag):
    """Bits of STREAM's ``flags``."""

    TRANSPOSE = 1
    KEEP = 2
    ACCUMULATE = 4
    WINDOW_READ = 8
    WINDOW_WRITE = 16


class VectorFlag(IntFlag):
    """Bits of VECTOR's ``flags``."""

    BIAS = 1
    LANE_SCALE = 2
    TFLITE = 4
    LEAKY = 8
    RESIDUAL = 16
    B_SCALAR = 32
    B_LANE = 64
    STATISTIC = 128
    ADD_AFTER = 256
    SUB_AFTER = 512


class Alu(IntEnum):
    """First operation of VECTOR, on A (source 1) and B (source 2)."""

    PASS = 0
    ADD = 1
    SUB = 2
    RSUB = 3
    MUL = 4
    MAX = 5
    MIN = 6
    GATE = 7
    DSIGMOID = 8
    DTANH = 9
    EQUAL = 10
    GREATER = 11
    SCALED = 12


class Activation(IntEnum):
    """Last operation of VECTOR before the reduction."""

    NONE = 0
    STEP = 1
    TABLE = 2
    NARROW = 3
    EXP = 4
    RECIPROCAL = 5


class Reduce(IntEnum):
    """Reduction of VECTOR's result over the lanes of a word, broadcast to all lanes."""

    NONE = 0
    MAX = 1
    SUM = 2


class ScaleAction(IntEnum):
    """What SCALE does."""

    READ = 0
    WRITE = 1
    ADAPT = 2
