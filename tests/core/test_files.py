"""Files appear whole or not at all, wherever their name leads."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pulsarray.errors import InputError
from pulsarray.files import write_atomically, write_together


def test_write_atomically_replaces_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"one")
    write_atomically(path, b"two")
    assert path.read_bytes() == b"two"
    assert list(tmp_path.iterdir()) == [path]


def test_write_atomically_wrong(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot write: No such file or directory"):
        write_atomically(tmp_path / "none" / "file", b"")
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="cannot write"):
        write_atomically(tmp_path / "folder", b"")
    assert list(tmp_path.iterdir()) == [tmp_path / "folder"]


@pytest.fixture
def full() -> Iterator[None]:
    """The limit on the size of files stands in for a disk without room."""
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.usefixtures("full")
def test_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")
    with pytest.raises(InputError, match="file: cannot write: File too large"):
        write_atomically(path, bytes(1000))
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.usefixtures("full")
def test_without_room_for_all_files_none_is_written(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    write_together({first: b"old", second: b"old"})
    with pytest.raises(InputError, match="second: cannot write: File too large"):
        write_together({first: b"new", second: bytes(1000)})
    assert (first.read_bytes(), second.read_bytes()) == (b"old", b"old")
    assert sorted(tmp_path.iterdir()) == [first, second]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    link, target = tmp_path / "link", tmp_path / "target"
    link.symlink_to(target)
    for text in (b"one", b"two"):
        write_atomically(link, text)
        assert link.is_symlink()
        assert target.read_bytes() == text


def test_who_may_read_a_file(tmp_path: Path) -> None:
    """A new file is as the user's mask has it, an old one as it was."""
    path = tmp_path / "file"
    mask = os.umask(0o027)
    try:
        write_atomically(path, b"one")
        assert path.stat().st_mode & 0o777 == 0o640
        path.chmod(0o600)
        write_atomically(path, b"two")
    finally:
        os.umask(mask)
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_longest_name(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 255)
    write_atomically(path, b"content")
    assert path.read_bytes() == b"content"


def test_standard_output_by_its_name(tmp_path: Path) -> None:
    """Where it is a file, that file is written on, and the name leads to it as before."""
    code = "import pathlib, sys; from pulsarray.files import write_atomically as write; "
    code += "print('before', flush=True); write(pathlib.Path('/dev/stdout'), b'within\\n'); "
    code += "print('after')"
    path, link = tmp_path / "file", Path("/dev/stdout").readlink()
    with path.open("w") as file:
        subprocess.run([sys.executable, "-c", code], stdout=file, check=True)
    assert path.read_text() == "before\nwithin\nafter\n"
    assert Path("/dev/stdout").readlink() == link


def test_a_device_stays_a_device(tmp_path: Path) -> None:
    write_atomically(Path("/dev/null"), b"gone")
    assert Path("/dev/null").is_char_device()
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_atomically(pipe, b"through")
    assert os.read(reader, 100) == b"through"
    os.close(reader)
    with pytest.raises(InputError, match="/dev/full: cannot write: No space left on device"):
        write_atomically(Path("/dev/full"), b"x")
