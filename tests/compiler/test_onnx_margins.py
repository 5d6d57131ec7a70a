"""Pad of large tensors, by copies of elements or along axes of values: as ONNX Runtime does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import NodeProto

from pulsarray.compiler.importers.onnx.importer import import_onnx
from pulsarray.compiler.interpreter import run_float
from pulsarray.errors import InputError
from tests.compiler.onnx_files import model, node, write
from tests.compiler.test_onnx_float_graphs import runtime

RNG = np.random.default_rng(3)
Arrays = dict[str, np.ndarray]


def floats(*shape: int) -> np.ndarray:
    return RNG.normal(0, 0.3, shape).astype(np.float32)


def ints(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int64)


def assert_same(
    path: Path, shape: tuple[int, ...], nodes: list[NodeProto], initializers: Arrays
) -> None:
    made, x = model(nodes, initializers, ("N", *shape)), floats(2, *shape)
    graph, wanted = import_onnx(write(path, made)), runtime(made, x)
    got = run_float(graph, x)
    assert got.shape == wanted.shape
    np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize("mode", ["reflect", "edge", "wrap"])
def test_copies_around_images(tmp_path: Path, mode: str) -> None:
    nodes = [
        node("Conv", ["x", "v"], "c"),
        node("Pad", ["c", "p"], "a", mode=mode),
        node("Conv", ["a", "w"]),
    ]
    constants = {
        "v": floats(4, 4, 1, 1),
        "w": floats(3, 4, 3, 3),
        "p": ints(0, 0, 2, 3, 0, 0, 1, 4),
    }
    assert_same(tmp_path, (4, 20, 18), nodes, constants)


@pytest.mark.parametrize("first", [[], [node("Conv", ["x", "one"], "c")]])
def test_a_mirrored_signal(tmp_path: Path, first: list[NodeProto]) -> None:
    """As spectra begin, of the input or of a value."""
    source = "c" if first else "x"
    nodes = [*first, node("Pad", [source, "p"], "a", mode="reflect"), node("Conv", ["a", "w"])]
    constants = {"one": floats(1, 1, 1), "w": floats(3, 1, 7), "p": ints(0, 0, 100, 0, 0, 50)}
    assert_same(tmp_path, (1, 9000), nodes, constants)


def test_zeros_with_channels_last(tmp_path: Path) -> None:
    """Around rows, columns and channels, which are axes of the value in another order."""
    nodes = [
        node("Conv", ["x", "v"], "c"),
        node("Transpose", ["c"], "t", perm=[0, 2, 3, 1]),
        node("Pad", ["t", "p"], "a"),
        node("Transpose", ["a"], "b", perm=[0, 3, 1, 2]),
        node("Relu", ["b"]),
    ]
    constants = {"v": floats(8, 8, 1, 1), "p": ints(0, 2, 3, 4, 0, 1, 0, 5)}
    assert_same(tmp_path, (8, 20, 30), nodes, constants)


def test_maps_as_channels(tmp_path: Path) -> None:
    """Maps whose columns were channels, behind one another, are the channels of an image."""
    nodes = [
        node("Conv", ["x", "v"], "c"),
        node("Transpose", ["c"], "t", perm=[0, 3, 2, 1]),
        node("Relu", ["t"], "r"),
        node("Concat", ["t", "r", "t"], "j", axis=1),
        node("Conv", ["j", "w"]),
    ]
    constants = {"v": floats(5, 2, 1, 1), "w": floats(3, 3, 3, 3)}
    assert_same(tmp_path, (2, 300, 1), nodes, constants)


@pytest.mark.parametrize(
    ("pads", "text"),
    [
        (ints(1, 0, 0, 0, 0, 0, 0, 0), "Pad must keep samples, and all elements of each"),
        (ints(0, 0, -1, 0, 0, 0, 0, 0), "Pad must keep samples, and all elements of each"),
        (ints(0, 0, 20, 0, 0, 0, 0, 0), "Pad mirrors 20 of 20 elements"),
    ],
)
def test_what_is_refused(tmp_path: Path, pads: np.ndarray, text: str) -> None:
    nodes = [node("Pad", ["x", "p"], "a", mode="reflect"), node("Relu", ["a"])]
    with pytest.raises(InputError, match=text):
        import_onnx(write(tmp_path, model(nodes, {"p": pads}, ("N", 4, 20, 18))))
