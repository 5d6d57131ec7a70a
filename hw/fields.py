"""Fields of an instruction as slices of its bits, from the table that the encoder uses."""

from __future__ import annotations

from amaranth.hdl import Value

from pulsarray.encoding import Format

__all__ = ["fields"]


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
