"""Arrays by name in ``.npz`` files."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
import numpy.typing as npt

from pulsarray.errors import InputError
from pulsarray.files import write_atomically

__all__ = ["load_arrays", "save_arrays"]

_DAMAGE = (
    ValueError,
    EOFError,
    KeyError,
    MemoryError,
    NotImplementedError,
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
        with path.open("rb") as file:
            if not zipfile.is_zipfile(file):
                raise InputError(f"{path}: not an .npz file; write it with numpy.savez")
            file.seek(0)
            with np.load(file, allow_pickle=False) as archive:
                members = archive.zip.namelist()
                _check_names(members, path)
                arrays = {name.removesuffix(_SUFFIX): archive[name] for name in members}
    except OSError as error:
        raise InputError(f"{path}: cannot read: {error.strerror or error}") from None
    except _DAMAGE as error:
        raise InputError(f"{path}: damaged or not an .npz of numbers: {error}") from None
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "biuf":
            kind = getattr(array, "dtype", "bytes")
            raise InputError(f"{path}: array {name!r} must hold numbers, not {kind}")
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
    counts.update(name for name in set(members) if name in counts)
    for name, count in counts.items():
        if count > 1:
            raise InputError(f"{path}: two arrays cannot be told apart by the name {name!r}")
