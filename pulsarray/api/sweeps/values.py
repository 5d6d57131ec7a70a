"""Lists and ranges of values as text: ``8,16``, ``64..512*2``, ``10..40+10``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import product

from pulsarray.errors import InputError

__all__ = ["Value", "numbers", "settings_of", "sizes_of", "values"]

Value = int | bool
_RANGE = re.compile(r"(\d+)\.\.(\d+)(?:([*+])(\d+))?")
_MOST = 1_000_000
"""Values of a range."""


def values(text: str, where: str) -> tuple[Value, ...]:
    """Integers, ``true`` and ``false`` with commas between them; a range takes both its ends.

    ``a..b`` counts by 1, ``a..b+c`` by c, ``a..b*c`` multiplies by c.

    Raises
    ------
    InputError
        If it is something else, or a value is there twice.
    """
    listed = [value for part in text.split(",") for value in _part(part.strip(), where)]
    twice = [value for value in listed if listed.count(value) > 1] if len(listed) < _MOST else []
    if twice:
        raise InputError(f"{where}: {twice[0]} is there twice")
    return tuple(listed)


def _part(text: str, where: str) -> Iterable[Value]:
    if text in ("true", "false"):
        return [text == "true"]
    match = _RANGE.fullmatch(text)
    if match:
        return list(_range(where, text, *match.groups()))
    try:
        return [int(text, 0)]
    except ValueError:
        raise InputError(
            f"{where}: must be integers, true or false, or ranges as 8..64*2 or 10..40+10, "
            f"not {text!r}"
        ) from None


def _range(
    where: str, text: str, first: str, last: str, sign: str | None, step: str | None
) -> Iterator[int]:
    value, end, by = int(first), int(last), int(step or 1)
    if end < value or not by or (sign == "*" and (by < 2 or not value)):
        raise InputError(f"{where}: {text!r} is no range that grows")
    if sign != "*" and (end - value) // by >= _MOST:
        raise InputError(f"{where}: {text!r} has more than {_MOST:,} values")
    while value <= end:
        yield value
        value = value * by if sign == "*" else value + by


def numbers(texts: Sequence[str] | str, where: str, least: int = 1) -> tuple[int, ...]:
    """Integers of a list.

    Raises
    ------
    InputError
        If one is none, or too small.
    """
    listed = values(texts if isinstance(texts, str) else ",".join(texts), where)
    for value in listed:
        if isinstance(value, bool) or value < least:
            raise InputError(f"{where}: must be integers of at least {least}, not {value}")
    return tuple(int(value) for value in listed)


def settings_of(items: Iterable[str]) -> dict[str, tuple[Value, ...]]:
    """Parameters with their values, from ``KEY=VALUES``.

    Raises
    ------
    InputError
        If one has no values, or is there twice.
    """
    settings: dict[str, tuple[Value, ...]] = {}
    for item in items:
        name, equals, text = item.partition("=")
        name = name.strip()
        if not equals:
            raise InputError(f"--set: expected key=values, not {item!r}")
        if name in settings:
            raise InputError(f"--set: {name} is there twice; write its values with commas")
        settings[name] = values(text, f"--set {name}")
    return settings


def sizes_of(text: str) -> list[str]:
    """Every ``gemm:MxKxN`` of one whose sizes are lists or ranges; another text alone.

    Raises
    ------
    InputError
        If a size is no list of positive numbers.
    """
    if not text.startswith("gemm:"):
        return [text]
    parts = text.removeprefix("gemm:").split("x")
    if len(parts) != 3:
        raise InputError(f"network: expected gemm:MxKxN, lists or ranges each, not {text!r}")
    sizes = [numbers(part, f"{text}: {name}") for name, part in zip("MKN", parts, strict=True)]
    return [f"gemm:{m}x{k}x{n}" for m, k, n in product(*sizes)]
