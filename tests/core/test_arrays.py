"""Arrays by name: every name, and none that a reader would take for another."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from pulsarray.arrays import load_arrays, save_arrays
from pulsarray.errors import InputError


@pytest.mark.parametrize("compressed", [False, True])
def test_whatever_the_names(tmp_path: Path, compressed: bool) -> None:
    names = ["file", "allow_pickle", "args", "kwds", "a/b", "../c", "d.npy", "", "ä 1:0"]
    arrays = {name: np.arange(number, dtype=np.int32) for number, name in enumerate(names)}
    path = tmp_path / "a.npz"
    save_arrays(path, arrays, compressed=compressed)
    for read in (load_arrays(path), np.load(path)):
        assert sorted(read) == sorted(names)
        for name in names:
            np.testing.assert_array_equal(read[name], arrays[name])


def test_names_that_numpy_would_mix_up(tmp_path: Path) -> None:
    path, one, two = tmp_path / "a.npz", np.zeros(1), np.ones(1)
    message = r"a\.npz: two arrays cannot be told apart by the name 'x\.npy'"
    with pytest.raises(InputError, match=message):
        save_arrays(path, {"x": one, "x.npy": two})
    assert not path.exists()
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in (("x.npy", one), ("x.npy.npy", two)):
            with archive.open(name, "w") as member:
                np.lib.format.write_array(member, array)
    assert np.load(path)["x.npy"] == one  # which is what x is
    with pytest.raises(InputError, match=message):
        load_arrays(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_arrays_of_one_name(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        for value in (1, 2):
            with archive.open("x.npy", "w") as member:
                np.lib.format.write_array(member, np.array(value))
    with pytest.raises(InputError, match="cannot be told apart by the name 'x'"):
        load_arrays(tmp_path / "a.npz")


def test_a_name_without_its_suffix(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive, archive.open("x", "w") as member:
        np.lib.format.write_array(member, np.array(3))
    assert load_arrays(tmp_path / "a.npz") == {"x": 3}


def test_what_is_no_archive_of_arrays(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, x=np.zeros(64))
    whole = path.read_bytes()
    flags = whole.index(b"PK\1\2") + 8  # of the first entry of the directory
    encrypted = whole[:flags] + b"\1" + whole[flags + 1 :]
    with zipfile.ZipFile(tmp_path / "text.npz", "w") as archive:
        archive.writestr("x.npy", "hello")
    text = (tmp_path / "text.npz").read_bytes()
    for data, reason in (
        (encrypted, "encrypted"),
        (whole[100:], ""),  # its beginning is lost
        (text, "magic string"),
    ):
        path.write_bytes(data)
        with pytest.raises(InputError, match=rf"a\.npz: damaged or not an \.npz of .*: .*{reason}"):
            load_arrays(path)
