"""Arrays by name in ``.npz`` files."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
import numpy.typing as npt

from pulsarray.errors import InputError

__all__ = ["load_arrays"]

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


def load_arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    """The arrays of an ``.npz`` file by name; numbers only.

    Raises
    ------
    InputError
        If it is unreadable, not an ``.npz``, or holds something else than numbers.
    """
    try:
        with path.open("rb") as file:
            if not zipfile.is_zipfile(file):
                raise InputError(f"{path}: not an .npz file; write it with numpy.savez")
            file.seek(0)
            with np.load(file, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
    except OSError as error:
        raise InputError(f"{path}: cannot read: {error.strerror or error}") from None
    except _DAMAGE as error:
        raise InputError(f"{path}: damaged or not an .npz of numbers: {error}") from None
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "biuf":
            kind = getattr(array, "dtype", "bytes")
            raise InputError(f"{path}: array {name!r} must hold numbers, not {kind}")
    return arrays
