"""Dataclasses from a file's JSON: every value is of the kind that its field says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from math import isfinite
from typing import Any, TypeVar

__all__ = ["typed"]

T = TypeVar("T")


def _integers(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(type(item) is int for item in value)


_KINDS: dict[str, Callable[[Any], bool]] = {
    "str": lambda value: isinstance(value, str),
    "int": lambda value: type(value) is int,
    "bool": lambda value: isinstance(value, bool),
    "float": lambda value: type(value) in (int, float) and isfinite(value),
    "Sequence[int]": _integers,
}


def typed(kind: Callable[..., T], values: Mapping[str, Any]) -> T:
    """A dataclass of a mapping's values; fields of other kinds than those above are not looked at.

    Raises
    ------
    TypeError
        If it is no mapping, has other fields, or a value is of another kind.
    ValueError
        As the dataclass itself.
    """
    if not isinstance(values, Mapping):
        raise TypeError(f"must be an object, not {values!r}")
    for field in fields(kind):  # type: ignore[arg-type]
        fits = _KINDS.get(str(field.type))
        if fits and field.name in values and not fits(values[field.name]):
            raise TypeError(f"{field.name} must be {field.type}, not {values[field.name]!r}")
    return kind(**values)
