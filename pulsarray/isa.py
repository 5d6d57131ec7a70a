"""The instruction set as data: formats, fields, and everything that derives from them.

The encoder, the decoder, the assembler text, the RTL's decoder and the reference in
``docs/isa.md`` all read :data:`FORMATS`; nothing about an encoding is written twice.
What each instruction does, and when, is ``docs/machine.md``.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from functools import cached_property

from pulsarray.errors import InputError

__all__ = [
    "FORMATS",
    "Activation",
    "Alu",
    "Bank",
    "Field",
    "Format",
    "Instruction",
    "Opcode",
    "Reduce",
    "StreamFlag",
    "Unit",
    "VectorFlag",
    "WeightFlag",
    "decode",
    "decode_all",
    "encode_all",
]

UNIT_BYTES = 32
"""Instructions are whole multiples of this many bytes; FETCH handles one multiple a cycle."""


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


class Activation(IntEnum):
    """Last operation of VECTOR before the reduction."""

    NONE = 0
    STEP = 1
    TABLE = 2


class Reduce(IntEnum):
    """Reduction of VECTOR's result over the lanes of a word, broadcast to all lanes."""

    NONE = 0
    MAX = 1
    SUM = 2


_CODES = {"u8": "B", "i8": "b", "u16": "H", "i16": "h", "u32": "I", "i32": "i"}
_BITS = {"u8": 8, "i8": 8, "u16": 16, "i16": 16, "u32": 32, "i32": 32}


@dataclass(frozen=True)
class Field:
    """One field of an instruction: little-endian, at a byte offset.

    Parameters
    ----------
    name, offset, kind
        Name, first byte, and one of u8, i8, u16, i16, u32, i32.
    doc
        One sentence for the reference.
    default
        Value when an instruction is built without it.
    """

    name: str
    offset: int
    kind: str
    doc: str
    default: int = 0

    @property
    def bits(self) -> int:
        """Width in bits."""
        return _BITS[self.kind]

    @property
    def signed(self) -> bool:
        """Whether the value is two's complement."""
        return self.kind[0] == "i"

    @property
    def low(self) -> int:
        """Smallest value that the field holds."""
        return -(1 << (self.bits - 1)) if self.signed else 0

    @property
    def high(self) -> int:
        """Largest value that the field holds."""
        return (1 << (self.bits - self.signed)) - 1


@dataclass(frozen=True)
class Format:
    """Layout of one instruction.

    Parameters
    ----------
    opcode
        The opcode.
    unit
        The unit whose queue takes it; None for END, which FETCH keeps.
    units
        Length in multiples of 32 bytes.
    levels
        Levels of its loop nest; level 0 is the outermost. The fields of level ``i`` carry the
        suffix ``i``.
    fields
        Every field, in order of offset; bytes that no field covers must be zero.
    doc
        One sentence for the reference.
    """

    opcode: Opcode
    unit: Unit | None
    units: int
    levels: int
    fields: tuple[Field, ...]
    doc: str

    def __post_init__(self) -> None:
        end = 0
        for field in self.fields:
            if field.offset < end:
                raise ValueError(f"{self.opcode.name}: field {field.name} overlaps")
            end = field.offset + field.bits // 8
        if end > self.bytes:
            raise ValueError(f"{self.opcode.name}: fields end at byte {end} of {self.bytes}")

    @property
    def bytes(self) -> int:
        """Length in bytes."""
        return self.units * UNIT_BYTES

    @cached_property
    def index(self) -> dict[str, int]:
        """Position of each field's value in :attr:`Instruction.values`."""
        return {field.name: i for i, field in enumerate(self.fields)}

    @cached_property
    def packer(self) -> struct.Struct:
        """The layout as :mod:`struct` sees it; pad bytes where no field is."""
        text, end = "<", 0
        for field in self.fields:
            text += "x" * (field.offset - end) + _CODES[field.kind]
            end = field.offset + field.bits // 8
        return struct.Struct(text + "x" * (self.bytes - end))


def _common() -> tuple[Field, ...]:
    return (
        Field("opcode", 0, "u8", "operation"),
        Field("units", 1, "u8", "length of the instruction in multiples of 32 bytes"),
        Field("wait", 2, "u16", "semaphores to take one from before starting, one bit each"),
        Field("signal", 4, "u16", "semaphores to add one to on completion, one bit each"),
    )


def _transfer() -> tuple[Field, ...]:
    return (
        *_common(),
        Field("bank", 6, "u8", "bank on chip"),
        Field("local", 8, "u16", "first word in the bank"),
        Field("run", 10, "u16", "contiguous words a run (bank words)", 1),
        Field("address", 12, "u32", "byte address in memory, a multiple of the bank's word"),
        *(
            field
            for level, base in ((0, 16), (1, 24))
            for field in (
                Field(f"count{level}", base, "u16", f"iterations of level {level}", 1),
                Field(f"local_stride{level}", base + 2, "i16", "step in the bank, bank words"),
                Field(f"memory_stride{level}", base + 4, "i32", "step in memory, operand words"),
            )
        ),
    )


def _weight_loops() -> Iterator[Field]:
    for level, base in ((0, 16), (1, 24)):
        yield Field(f"count{level}", base, "u16", f"tiles of level {level}", 1)
        yield Field(f"stride{level}", base + 2, "i16", "step of the address, words")
        yield Field(f"row_step{level}", base + 4, "i16", "step of the row number")


def _stream_loops() -> Iterator[Field]:
    for level in range(5):
        base = 24 + 8 * level
        yield Field(f"count{level}", base, "u16", f"iterations of level {level}", 1)
        yield Field(f"source_stride{level}", base + 2, "i16", "step in the scratchpad bank, words")
        yield Field(f"target_stride{level}", base + 4, "i16", "step in the accumulator bank, words")
        yield Field(f"row_step{level}", base + 6, "i8", "step of the window's row")
        yield Field(f"column_step{level}", base + 7, "i8", "step of the window's column")


def _vector_loops() -> Iterator[Field]:
    for level in range(4):
        base = 64 + 8 * level
        yield Field(f"count{level}", base, "u16", f"iterations of level {level}", 1)
        yield Field(f"a_stride{level}", base + 2, "i16", "step of source 1, words")
        yield Field(f"b_stride{level}", base + 4, "i16", "step of source 2, words")
        yield Field(f"target_stride{level}", base + 6, "i16", "step of both destinations, words")


_ALL_FORMATS = (
    Format(Opcode.END, None, 1, 0, _common(), "End of the program; waits and signals nothing."),
    Format(
        Opcode.LOAD, Unit.LOAD, 1, 2, _transfer(), "Copy words from memory into a bank on chip."
    ),
    Format(Opcode.STORE, Unit.STORE, 1, 2, _transfer(), "Copy words of a bank to memory."),
    Format(
        Opcode.WEIGHT,
        Unit.WEIGHT,
        1,
        2,
        (
            *_common(),
            Field("bank", 6, "u8", "scratchpad bank"),
            Field("flags", 7, "u8", "bits of WeightFlag"),
            Field("local", 8, "u16", "first word of the first tile"),
            Field("row_stride", 10, "i16", "step from one row of a tile to the next, words", 1),
            Field("row_start", 12, "i16", "row number of the first row of the first tile"),
            Field("row_limit", 14, "u16", "rows numbered 0 to this - 1 are read, others are zero",
                  0xFFFF),
            *_weight_loops(),
        ),
        "Bring D x D weights to the array's shadow registers, tile after tile.",
    ),
    Format(
        Opcode.STREAM,
        Unit.STREAM,
        2,
        5,
        (
            *_common(),
            Field("source_bank", 6, "u8", "scratchpad bank that is streamed"),
            Field("target_bank", 7, "u8", "accumulator bank that takes the sums"),
            Field("source", 8, "u16", "first word in the scratchpad bank"),
            Field("target", 10, "u16", "first word in the accumulator bank"),
            Field("flags", 12, "u8", "bits of StreamFlag"),
            Field("inner", 13, "u8", "innermost levels that make one pass (1 to 5)", 1),
            Field("fresh", 14, "u8",
                  "levels whose indices must all be 0 for a word to overwrite its sums"),
            Field("row_start", 16, "i16", "row of the first word, for the window"),
            Field("column_start", 18, "i16", "column of the first word, for the window"),
            Field("row_limit", 20, "u16", "rows 0 to this - 1 are inside the window"),
            Field("column_limit", 22, "u16", "columns 0 to this - 1 are inside the window"),
            *_stream_loops(),
        ),
        "Stream words through the array into an accumulator bank, pass after pass.",
    ),
    Format(
        Opcode.VECTOR,
        Unit.VECTOR,
        3,
        4,
        (
            *_common(),
            Field("alu", 6, "u8", "first operation, of Alu"),
            Field("activation", 7, "u8", "last operation, of Activation"),
            Field("a_bank", 8, "u8", "bank of source 1 (scratchpad or accumulator)"),
            Field("b_bank", 9, "u8", "bank of source 2, or 255 for none", Bank.NONE),
            Field("target_bank", 10, "u8", "scratchpad bank written, or 255 for none", Bank.NONE),
            Field("acc_bank", 11, "u8", "accumulator bank written, or 255 for none", Bank.NONE),
            Field("a", 12, "u16", "first word of source 1"),
            Field("b", 14, "u16", "first word of source 2"),
            Field("target", 16, "u16", "first word written in the scratchpad bank"),
            Field("acc", 18, "u16", "first word written in the accumulator bank"),
            Field("flags", 20, "u16", "bits of VectorFlag"),
            Field("reduce", 22, "u8", "reduction over lanes, of Reduce"),
            Field("last_lanes", 23, "u8", "valid lanes in the last iteration of level 0", 0),
            Field("parameter", 24, "u16", "row of per-lane constants in the first iteration"),
            Field("parameter_step", 26, "u8", "rows to step in each iteration of level 0"),
            Field("table", 27, "u8", "function table"),
            Field("multiplier", 28, "u32", "scale multiplier", 1),
            Field("multiplier2", 32, "u32", "multiplier of source 2 (RESIDUAL), of t < 0 (LEAKY)",
                  0),
            Field("shift", 36, "i8", "right shift after the multiply"),
            Field("shift2", 37, "i8", "right shift where LEAKY chose multiplier2"),
            Field("x_target", 38, "u8", "exponent register added to the shift"),
            Field("x_a", 39, "u8", "exponent register subtracted from the shift"),
            Field("x_b", 40, "u8", "exponent register subtracted from the shift"),
            Field("zero_a", 42, "i16", "zero point of source 1"),
            Field("zero_b", 44, "i16", "zero point of source 2"),
            Field("zero_target", 46, "i16", "zero point added to the result"),
            Field("low", 48, "i16", "smallest result code"),
            Field("high", 50, "i16", "largest result code"),
            Field("scalar", 52, "i32", "source 2 where B_SCALAR is set"),
            *_vector_loops(),
        ),
        "One word a cycle through the vector unit: sums to codes, and everything between.",
    ),
    Format(
        Opcode.EXPONENT,
        Unit.VECTOR,
        1,
        0,
        (
            *_common(),
            Field("register", 6, "u8", "exponent register written (1 to 31)"),
            Field("value", 7, "i8", "its value"),
        ),
        "Set a register of the exponent file.",
    ),
)

FORMATS: Mapping[Opcode, Format] = {f.opcode: f for f in _ALL_FORMATS}
"""Every instruction's format by opcode."""


@dataclass(frozen=True, slots=True)
class Instruction:
    """One decoded instruction.

    Parameters
    ----------
    format
        Its format.
    values
        One value a field, in the order of ``format.fields``.
    """

    format: Format
    values: tuple[int, ...]

    @classmethod
    def make(cls, op: Opcode, **fields: int) -> Instruction:
        """Build from field names; fields not given take their defaults.

        Raises
        ------
        InputError
            If a name is unknown or a value does not fit its field.
        """
        form = FORMATS[op]
        given = {"opcode": int(op), "units": form.units, **fields}
        unknown = given.keys() - form.index.keys()
        if unknown:
            raise InputError(f"{op.name}: no field {', '.join(sorted(unknown))}")
        values = tuple(int(given.get(f.name, f.default)) for f in form.fields)
        for field, value in zip(form.fields, values, strict=True):
            if not field.low <= value <= field.high:
                raise InputError(
                    f"{op.name}: {field.name} must be {field.low} to {field.high}, not {value}"
                )
        return cls(form, values)

    @property
    def op(self) -> Opcode:
        """The opcode."""
        return self.format.opcode

    def __getitem__(self, name: str) -> int:
        return self.values[self.format.index[name]]

    def encode(self) -> bytes:
        """The instruction's bytes."""
        return self.format.packer.pack(*self.values)

    def text(self) -> str:
        """Assembler text: the opcode, then every field that differs from its default."""
        parts = [self.op.name]
        for field, value in zip(self.format.fields[2:], self.values[2:], strict=True):
            if value != field.default:
                parts.append(f"{field.name}={value}")
        return " ".join(parts)


def decode(data: bytes, offset: int = 0, where: str = "program") -> Instruction:
    """Decode the instruction at a byte offset.

    Raises
    ------
    InputError
        If the opcode or length is unknown, or the bytes end too early.
    """
    try:
        form = FORMATS[data[offset]]  # type: ignore[index]
    except (KeyError, IndexError):
        raise InputError(f"{where}: no instruction at byte {offset}") from None
    if data[offset + 1] != form.units or offset + form.bytes > len(data):
        raise InputError(f"{where}: {form.opcode.name} at byte {offset} has a wrong length")
    return Instruction(form, form.packer.unpack_from(data, offset))


def decode_all(data: bytes, where: str = "program") -> list[Instruction]:
    """Decode a whole program, up to and with its END.

    Raises
    ------
    InputError
        If an instruction is malformed or END is missing.
    """
    program, offset = [], 0
    while offset < len(data):
        program.append(decode(data, offset, where))
        offset += program[-1].format.bytes
        if program[-1].op is Opcode.END:
            return program
    raise InputError(f"{where}: no END")


def encode_all(program: Iterable[Instruction]) -> bytes:
    """The bytes of a whole program."""
    return b"".join(instruction.encode() for instruction in program)


def parse(text: str, where: str = "assembler") -> Instruction:
    """Read one line of assembler text, as :meth:`Instruction.text` writes it.

    Raises
    ------
    InputError
        If the opcode or a field is unknown or a value is not a number that fits.
    """
    name, *assignments = text.split()
    if name not in Opcode.__members__:
        raise InputError(f"{where}: unknown instruction {name!r}")
    fields = {}
    for item in assignments:
        key, equals, value = item.partition("=")
        try:
            fields[key] = int(value, 0)
        except ValueError:
            raise InputError(f"{where}: expected field=number, not {item!r}") from None
        if not equals:
            raise InputError(f"{where}: expected field=number, not {item!r}")
    return Instruction.make(Opcode[name], **fields)
