"""Files that appear whole or not at all, and the folder of what can be made again."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path

import platformdirs

from pulsarray.errors import InputError

__all__ = ["cache_folder", "write_atomically", "write_together"]

_STREAMS = (Path("/dev"), Path("/proc"))
"""Folders whose names stand for what is open already, even where that is a plain file."""

_NAMES = {"/dev/stdout": "/dev/fd/1", "/dev/stderr": "/dev/fd/2"}


def cache_folder() -> Path:
    """Folder of what can be made again: PULSARRAY_CACHE, or the user's; made if it is missing.

    Raises
    ------
    InputError
        If it cannot be made.
    """
    chosen = os.environ.get("PULSARRAY_CACHE")
    folder = Path(chosen).absolute() if chosen else platformdirs.user_cache_path("pulsarray")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{folder}: cannot make the cache folder: {error.strerror}; "
            "PULSARRAY_CACHE may name another one"
        ) from None
    return folder


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that it appears whole or not at all; a device is written as it is.

    Raises
    ------
    InputError
        If it cannot be written (no such folder, no permission, disk full).
    """
    write_together({path: data})


def write_together(files: Mapping[Path, bytes]) -> None:
    """Write files so that all appear, each whole, once there is room for all of them.

    What a link leads to is written, and stays as accessible as it is.

    Raises
    ------
    InputError
        If one cannot be written (no such folder, no permission, disk full).
    """
    with contextlib.ExitStack() as parts:
        ready = {}
        for path, data in files.items():
            with _refused(path):
                if _is_stream(path):
                    _write_stream(path, data)
                else:
                    ready[path] = parts.enter_context(_part(path.resolve(), data))
        for path, part in ready.items():
            with _refused(path):
                part.replace(path.resolve())


def _is_stream(path: Path) -> bool:
    """Whether a name is a device, a pipe, or what a process has open."""
    if any(folder in path.absolute().parents for folder in _STREAMS):
        return path.exists()
    return path.exists() and not (path.is_file() or path.is_dir())


def _write_stream(path: Path, data: bytes) -> None:
    """Write to what is open, where it stands: opened by name, a file would be written anew."""
    name = _NAMES.get(str(path), str(path))
    number = re.fullmatch(r"(?:/dev/fd|/proc/self/fd)/([0-9]+)", name)
    with os.fdopen(os.dup(int(number[1])), "wb") if number else path.open("wb") as stream:
        stream.write(data)


@contextlib.contextmanager
def _part(target: Path, data: bytes) -> Iterator[Path]:
    """A file beside the target with what will be its content; gone in the end."""
    part = target.with_name(f".pulsarray-{secrets.token_hex(8)}")
    try:
        with part.open("xb") as file:
            file.write(data)
        if target.is_file():
            part.chmod(target.stat().st_mode & 0o777)
        yield part
    finally:
        part.unlink(missing_ok=True)


@contextlib.contextmanager
def _refused(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f"{path}: cannot write: {error.strerror}") from None
