"""How an instruction format is described: fields at byte offsets, loop levels, a length."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from functools import cached_property

from pulsarray.operations import Opcode, Unit

__all__ = ["UNIT_BYTES", "Field", "Format"]

UNIT_BYTES = 32
"""Instructions are whole multiples of this many bytes; FETCH handles one multiple a cycle."""

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
    symbols
        What its values are called; None where they are numbers.
    """

    name: str
    offset: int
    kind: str
    doc: str
    default: int = 0
    symbols: type[IntEnum] | type[IntFlag] | None = None

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

    @cached_property
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
