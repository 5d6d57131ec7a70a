"""Samples: labels, shapes, files, and everything that is refused."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from pulsarray.compiler.training.data import batches, load_npz, prepared
from pulsarray.compiler.training.differentiate import (
    Loss,
    Optimizer,
    TrainingNetwork,
    differentiate,
)
from pulsarray.errors import InputError
from pulsarray.sim.random.training import dense_network

X = np.linspace(-1, 1, 12).reshape(4, 3)


def network(outputs: int, end: str, loss: str) -> TrainingNetwork:
    return differentiate(dense_network([3, outputs], [end]), Loss(loss), Optimizer())


CLASSES = network(4, "softmax", "cross-entropy")


def test_labels_become_targets() -> None:
    labels = np.array([0, 1, 3, 2])
    assert np.array_equal(prepared({"x": X, "labels": labels}, CLASSES).targets, np.eye(4)[labels])
    margin = network(4, "identity", "hinge")
    assert np.array_equal(
        prepared({"x": X, "labels": labels}, margin).targets, 2 * np.eye(4)[labels] - 1
    )
    two = network(1, "sigmoid", "binary-cross-entropy")
    targets = prepared({"x": X, "labels": np.array([0, 1, 1, 0])}, two).targets
    assert targets.tolist() == [[0], [1], [1], [0]]


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "d.npz"
    np.savez(path, x=X, labels=np.arange(4), test_x=X[:1], test_t=np.eye(4)[:1])
    data = load_npz(path, CLASSES)
    assert data.inputs.shape == (4, 3)
    assert data.test_targets is not None
    assert data.test_targets.shape == (1, 4)


@pytest.mark.parametrize(
    ("arrays", "text"),
    [
        ({}, "no array x"),
        ({"x": X}, "needs x, and one of t and labels"),
        ({"x": X, "t": np.eye(4), "labels": np.arange(4)}, "one of t and labels"),
        ({"x": X, "y": X}, "unknown array 'y'"),
        ({"x": X[:, :2], "labels": np.arange(4)}, r"shape must be \(samples, 3\)"),
        ({"x": X[:3], "labels": np.arange(4)}, "x has 3 samples, its targets have 4"),
        ({"x": X[:0], "labels": np.arange(0)}, "shape must be"),
        ({"x": X.astype(complex), "labels": np.arange(4)}, "real numbers"),
        ({"x": np.where(X > 0.9, np.nan, X), "labels": np.arange(4)}, "sample 3, element 2 is nan"),
        ({"x": np.where(X > 0.9, np.inf, X), "labels": np.arange(4)}, "must be finite"),
        ({"x": X, "labels": np.array([0, 1, 2, 4])}, "sample 3 must be 0 to 3"),
        ({"x": X, "labels": np.array([0, -1, 2, 3])}, "sample 1 must be 0 to 3"),
        ({"x": X, "labels": np.arange(4.0)}, "must be integers"),
        ({"x": X, "t": np.full((4, 4), 0.5)}, "sample 0 must be 0 or 1"),
        ({"x": X, "t": np.ones((4, 4))}, "a single 1"),
        ({"x": X, "labels": np.arange(4), "test_x": X}, "needs test_x, and one of"),
    ],
)
def test_data_that_does_not_fit(arrays: dict[str, np.ndarray], text: str) -> None:
    with pytest.raises(InputError, match=text):
        prepared(arrays, CLASSES, "d.npz")


@pytest.mark.parametrize(
    "content", [b"", b"nothing", b"PK\x03\x04 and then not"], ids=["empty", "text", "cut"]
)
def test_files_that_are_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "d.npz"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"d\.npz"):
        load_npz(path, CLASSES)
    with pytest.raises(InputError, match="cannot read"):
        load_npz(tmp_path / "missing.npz", CLASSES)


def test_a_file_with_any_byte_wrong(tmp_path: Path) -> None:
    path = tmp_path / "d.npz"
    x = np.random.default_rng(0).random((40, 3))
    np.savez_compressed(path, x=x, labels=np.arange(40) % 4)
    whole = path.read_bytes()
    for place in range(0, len(whole), 5):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        try:
            load_npz(path, CLASSES)
        except InputError as error:
            assert "d.npz" in str(error)  # noqa: PT017 (a byte that nobody reads may be wrong)


def test_a_file_with_something_else_than_arrays(tmp_path: Path) -> None:
    path = tmp_path / "d.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x", "text")
    with pytest.raises(InputError, match=r"not an \.npz of numbers: array 'x': "):
        load_npz(path, CLASSES)


def test_an_epoch_has_every_sample_at_most_once() -> None:
    random = np.random.default_rng(0)
    first = list(batches(random, 10, 3))
    assert [len(part) for part in first] == [3, 3, 3]
    assert len(set(np.concatenate(first).tolist())) == 9
    again = list(batches(np.random.default_rng(0), 10, 3))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert [len(part) for part in batches(random, 10, 10)] == [10]
