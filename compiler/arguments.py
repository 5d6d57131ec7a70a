"""What users give to public functions, as the types that the compiler works with, or an error."""

from __future__ import annotations

from collections.abc import Iterable
from math import isnan
from numbers import Real
from operator import index
from os import PathLike
from pathlib import Path
from typing import SupportsIndex, cast

import numpy as np
import numpy.typing as npt

from pulsarray.errors import InputError

__all__ = [
    "array",
    "file_path",
    "instance",
    "integer",
    "integers",
    "number",
]


def integer(value: object, what: str, *, least: int | None = None) -> int:
    """An integer of Python or NumPy, of at least ``least``.

    Raises
    ------
    InputError
        If it is none, or too small; ``what`` names it.
    """
    try:
        whole = index(cast(SupportsIndex, value))
    except TypeError:
        raise InputError(f"{what}: must be an integer, not {value!r}") from None
    if least is not None and whole < least:
        raise InputError(f"{what}: must be at least {least}, not {whole}")
    return whole


def integers(values: object, what: str) -> tuple[int, ...]:
    """Integers, of one or of any iterable of them.

    Raises
    ------
    InputError
        If one is none.
    """
    if isinstance(values, str) or not isinstance(values, Iterable):
        return (integer(values, what),)
    return tuple(integer(value, what) for value in values)


def number(value: object, what: str) -> float:
    """A real number of Python or NumPy, which may be infinite.

    Raises
    ------
    InputError
        If it is none, or NaN.
    """
    if not isinstance(value, Real) or isnan(value):
        raise InputError(f"{what}: must be a number, not {value!r}")
    return float(value)


def array(values: npt.ArrayLike, what: str) -> npt.NDArray[np.float64]:
    """Real numbers as float64.

    Raises
    ------
    InputError
        If they are none.
    """
    try:
        if np.iscomplexobj(values):
            raise InputError(f"{what}: must be real numbers, not complex ones")
        return np.asarray(values, np.float64)
    except (TypeError, ValueError):
        raise InputError(f"{what}: must be an array of numbers") from None


def file_path(value: object) -> Path:
    """The path of a file, of a text or a path.

    Raises
    ------
    InputError
        If it is neither.
    """
    if not isinstance(value, str | PathLike):
        raise InputError(f"file: must be a path, not {value!r}")
    return Path(value)


def instance(value: object, kind: type, what: str) -> None:
    """Check what kind of object it is.

    Raises
    ------
    InputError
        If it is of another.
    """
    if not isinstance(value, kind):
        raise InputError(f"{what}: must be a {kind.__name__}, not {type(value).__name__}")
