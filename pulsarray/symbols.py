"""Values of fields by name, and back: enumerations, flags, banks, semaphores."""

from __future__ import annotations

import re
from enum import IntEnum, IntFlag

from pulsarray.operations import Bank

__all__ = ["symbol", "value_of"]

Symbols = type[IntEnum] | type[IntFlag] | None
_CLASS = 64
"""Banks of a class."""


def symbol(symbols: Symbols, value: int) -> str:
    """What a value is called; the number where it has no name."""
    if symbols is Bank:
        return _bank(value)
    if symbols is None or (not value and issubclass(symbols, IntFlag)):
        return str(value)
    if issubclass(symbols, IntFlag):
        members = [member for member in symbols if member & value]
        known = sum(members) == value
        return "|".join(str(member.name) for member in members) if known else str(value)
    return symbols(value).name if value in tuple(symbols) else str(value)


def _bank(value: int) -> str:
    """A single one by its name, those of a class with their number in it."""
    for bank in (Bank.SCRATCHPAD, Bank.ACCUMULATOR):
        if bank <= value < bank + _CLASS:
            return f"{bank.name}{value - bank}"
    return Bank(value).name if value in tuple(Bank) else str(value)


def value_of(symbols: Symbols, text: str) -> int:
    """The value of a name that :func:`symbol` gives, or of a number.

    Raises
    ------
    ValueError
        If it is neither.
    """
    if re.match(r"[-+0-9]", text) or symbols is None:
        return int(text, 0)
    try:
        if symbols is Bank and (match := re.fullmatch(r"(SCRATCHPAD|ACCUMULATOR)(\d+)", text)):
            return Bank[match[1]] + int(match[2])
        return sum(symbols[name] for name in text.split("|"))
    except KeyError:
        raise ValueError(text) from None
