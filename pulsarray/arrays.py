"""Arrays by name in ``.npz`` files."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from tokenize import TokenError
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from pulsarray.errors import InputError
from pulsarray.files import write_atomically

__all__ = ["load_arrays", "save_arrays"]

_DAMAGE = (
    ValueError,
    EOFError,
    OSError,
    KeyError,
    MemoryError,
    RuntimeError,  # encrypted, or packed by a method that zipfile has not
    TokenError,
    zipfile.BadZipFile,
    zlib.error,
)


_SUFFIX = ".npy"


def load_arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    """The arrays of an ``.npz`` file by name; numbers only.

    Raises
    ------
    InputError
        If it is unreadable, not an ``.npz``, holds something else than numbers, or two arrays of
        one name.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise InputError(f"{path}: cannot read: {error.strerror}") from None
    with file:
        if not zipfile.is_zipfile(file):
            raise InputError(f"{path}: not an .npz file; write it with numpy.savez")
        try:
            arrays = _members(file, path)
        except _DAMAGE as error:
            raise InputError(f"{path}: damaged or not an .npz of numbers: {error}") from None
    for name, array in arrays.items():
        if array.dtype.kind not in "biuf":
            raise InputError(f"{path}: array {name!r} must hold numbers, not {array.dtype}")
    return arrays


def _members(file: BinaryIO, path: Path) -> dict[str, npt.NDArray[Any]]:
    arrays = {}
    with zipfile.ZipFile(file) as archive:
        _check_names(archive.namelist(), path)
        for name in archive.namelist():
            short = name.removesuffix(_SUFFIX)
            try:
                with archive.open(name) as member:
                    arrays[short] = np.lib.format.read_array(member, allow_pickle=False)
            except _DAMAGE as error:
                raise ValueError(f"array {short!r}: {error}") from None
    return arrays


def save_arrays(
    path: Path, arrays: Mapping[str, npt.NDArray[Any]], *, compressed: bool = False
) -> None:
    """Write arrays by name as ``.npz``, whatever the names; :func:`numpy.savez` has its own.

    Raises
    ------
    InputError
        If it cannot be written, or :func:`numpy.load` would mix up two of the names.
    """
    _check_names([f"{name}{_SUFFIX}" for name in arrays], path)
    method = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}{_SUFFIX}", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)
    write_atomically(path, buffer.getvalue())


def _check_names(members: Iterable[str], path: Path) -> None:
    """Refuse two members that :func:`numpy.load` gives one name, as it does to a and a.npy."""
    counts = Counter(name.removesuffix(_SUFFIX) for name in members)
    counts.update(name for name in set(members) if name.endswith(_SUFFIX) and name in counts)
    for name, count in counts.items():
        if count > 1:
            raise InputError(f"{path}: two arrays cannot be told apart by the name {name!r}")
