"""Samples of a network's inputs by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Sized
from typing import TypeVar

from pulsarray.errors import InputError, did_you_mean

__all__ = ["by_name", "require_one_count"]

Kind = TypeVar("Kind")


def by_name(values: Kind | Mapping[str, Kind], names: Sequence[str], what: str) -> dict[str, Kind]:
    """An array for each of these names; one array alone where there is one name.

    Raises
    ------
    InputError
        If a name is missing or unknown.
    """
    wanted = ", ".join(map(repr, names))
    if not isinstance(values, Mapping):
        if len(names) != 1:
            raise InputError(f"{what}: one array for each of the inputs {wanted} is needed")
        return {names[0]: values}
    for name in values:
        if name not in names:
            close = did_you_mean(str(name), names)
            raise InputError(f"{what}: {name!r} is no input; inputs: {wanted}{close}")
    for name in names:
        if name not in values:
            raise InputError(f"{what}: input {name!r} is missing; inputs: {wanted}")
    return {name: values[name] for name in names}


def require_one_count(samples: Mapping[str, Sized], what: str) -> None:
    """Refuse inputs of which there are not as many samples each.

    Raises
    ------
    InputError
        If there are not; the text has the number of each.
    """
    counts = {name: len(array) for name, array in samples.items()}
    if len(set(counts.values())) > 1:
        told = ", ".join(f"{count} of {name!r}" for name, count in counts.items())
        raise InputError(f"{what}: must have as many samples of each input, not {told}")
