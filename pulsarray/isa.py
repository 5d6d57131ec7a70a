"""The instruction set: encoder, decoder and assembler text, all derived from :data:`FORMATS`.

The RTL's decoder and the reference in ``docs/isa.md`` read the same table; nothing about an
encoding is written twice. What each instruction does, and when, is ``docs/machine.md``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from pulsarray.encoding import UNIT_BYTES, Field, Format
from pulsarray.errors import InputError
from pulsarray.formats import FORMATS
from pulsarray.operations import (
    Activation,
    Alu,
    Bank,
    Opcode,
    Reduce,
    ScaleAction,
    StreamFlag,
    Unit,
    VectorFlag,
    WeightFlag,
)
from pulsarray.symbols import symbol, value_of

__all__ = [
    "FORMATS",
    "UNIT_BYTES",
    "Activation",
    "Alu",
    "Bank",
    "Field",
    "Format",
    "Instruction",
    "Opcode",
    "Reduce",
    "ScaleAction",
    "StreamFlag",
    "Unit",
    "VectorFlag",
    "WeightFlag",
    "decode",
    "decode_all",
    "each",
    "encode_all",
    "parse",
]

_Fact = TypeVar("_Fact")


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
        values_by_name = {"opcode": int(op), "units": form.units, **fields}
        unknown = values_by_name.keys() - form.index.keys()
        if unknown:
            raise InputError(f"{op.name}: no field {', '.join(sorted(unknown))}")
        values = tuple(int(values_by_name.get(f.name, f.default)) for f in form.fields)
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

    @property
    def deed(self) -> tuple[int, ...]:
        """What it does: all values but its semaphores."""
        return self.values[:2] + self.values[4:]

    def __getitem__(self, name: str) -> int:
        return self.values[self.format.index[name]]

    def encode(self) -> bytes:
        """The instruction's bytes."""
        return self.format.packer.pack(*self.values)

    def text(self) -> str:
        """Assembler text: the opcode, then every field that differs from its default, by names."""
        parts = [self.op.name]
        for field, value in zip(self.format.fields[2:], self.values[2:], strict=True):
            if value != field.default:
                parts.append(f"{field.name}={symbol(field.symbols, value)}")
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


def each(program: Iterable[Instruction], fact: Callable[[Instruction], _Fact]) -> list[_Fact]:
    """A fact of each instruction that does not depend on semaphores, found once for alike ones."""
    known: dict[tuple[int, ...], _Fact] = {}
    facts = []
    for instruction in program:
        deed = instruction.deed
        if deed not in known:
            known[deed] = fact(instruction)
        facts.append(known[deed])
    return facts


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
    name, *assignments = text.partition(";")[0].split() or [""]
    if name not in Opcode.__members__:
        raise InputError(f"{where}: unknown instruction {name!r}")
    known, fields = {field.name: field.symbols for field in FORMATS[Opcode[name]].fields}, {}
    for item in assignments:
        key, equals, value = item.partition("=")
        try:
            fields[key] = value_of(known.get(key), value)
        except ValueError:
            raise InputError(f"{where}: expected field=number or =name, not {item!r}") from None
        if not equals:
            raise InputError(f"{where}: expected field=number or =name, not {item!r}")
    return Instruction.make(Opcode[name], **fields)
