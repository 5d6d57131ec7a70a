"""Fields of an instruction as slices of its bits, from the table that the encoder uses."""

from __future__ import annotations

from itertools import pairwise

from amaranth.hdl import Cat, Const, Value

from pulsarray.encoding import UNIT_BYTES, Format
from pulsarray.isa import FORMATS, Unit

__all__ = ["fields", "packed", "packed_parts", "packed_place", "unpacked"]


def fields(form: Format, raw: Value) -> dict[str, Value]:
    """Every field of a format by name, signed where it is.

    Parameters
    ----------
    form
        The format.
    raw
        The instruction's bytes, little-endian, at least ``8 * form.bytes`` bits.
    """
    slices = {}
    for field in form.fields:
        value = raw[8 * field.offset : 8 * field.offset + field.bits]
        slices[field.name] = value.as_signed() if field.signed else value
    return slices


def _runs(unit: Unit) -> list[tuple[int, int]]:
    """First bits and ends of what a unit's queue keeps of its instructions.

    That is every field of any of the unit's formats but the length, and the opcode only if it
    tells formats apart.
    """
    formats = [form for form in FORMATS.values() if form.unit is unit]
    dropped = {"units"} if len(formats) > 1 else {"opcode", "units"}
    kept = {
        8 * field.offset + bit
        for form in formats
        for field in form.fields
        if field.name not in dropped
        for bit in range(field.bits)
    }
    starts = sorted(bit for bit in kept if bit - 1 not in kept)
    ends = sorted(bit + 1 for bit in kept if bit + 1 not in kept)
    return list(zip(starts, ends, strict=True))


def packed_parts(unit: Unit) -> list[int]:
    """Bits of an instruction in a unit's queue, of each of the units of length that it has."""
    longest = max(form.units for form in FORMATS.values() if form.unit is unit)
    ends = [8 * UNIT_BYTES * number for number in range(longest + 1)]
    return [
        sum(max(0, min(end, last) - max(start, first)) for start, end in _runs(unit))
        for first, last in pairwise(ends)
    ]


def packed_place(unit: Unit, name: str) -> int:
    """First bit of a field, that all formats of a unit have, in the unit's queue."""
    form = next(form for form in FORMATS.values() if form.unit is unit)
    place = 8 * form.fields[form.index[name]].offset
    return sum(min(end, place) - start for start, end in _runs(unit) if start < place)


def packed(unit: Unit, raw: Value) -> Value:
    """What a unit's queue keeps of an instruction."""
    return Cat(raw[start:end] for start, end in _runs(unit))


def unpacked(unit: Unit, kept: Value, bits: int) -> Value:
    """The instruction again, zero where it was not kept, in so many bits."""
    parts: list[Value] = []
    place = taken = 0
    for start, end in _runs(unit):
        parts += [Const(0, start - place), kept[taken : taken + end - start]]
        place, taken = end, taken + end - start
    return Cat(*parts, Const(0, bits - place))
