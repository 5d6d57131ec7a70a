"""Built-in networks and their names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pulsarray.compiler import networks
from pulsarray.compiler.networks import accuracy, built_in, load_digits, parse_gemm
from pulsarray.errors import InputError


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _own_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULSARRAY_CACHE", str(cache))


def test_digits_are_split_once_and_for_all() -> None:
    digits = load_digits()
    assert (digits.train_images.shape, digits.test_images.shape) == ((4000, 784), (1000, 784))
    again = load_digits()
    np.testing.assert_array_equal(again.test_images, digits.test_images)
    samples = np.concatenate([digits.train_images, digits.test_images])
    assert (
        np.bincount(np.concatenate([digits.train_labels, digits.test_labels])).tolist()
        == [500] * 10
    )
    assert len({sample.tobytes() for sample in samples}) == 5000
    assert digits.train_images.min() == 0.0
    assert digits.train_images.max() == 1.0


def test_mnist_is_accurate_and_cached(cache: Path) -> None:
    graph, calibration = built_in("mnist-mlp")
    digits = load_digits()
    assert graph.parameters == 13002
    assert calibration.shape == (500, 784)
    assert accuracy(graph, digits.test_images, digits.test_labels) >= 0.90
    (file,) = cache.glob("mnist-mlp*.npz")
    written = file.stat().st_mtime_ns
    again, _ = built_in("mnist-mlp")
    np.testing.assert_array_equal(again.nodes[0].weight, graph.nodes[0].weight)  # type: ignore[union-attr]
    assert file.stat().st_mtime_ns == written


def test_broken_cache_is_made_again(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks, "_EPOCHS", 1)
    before = set(cache.iterdir())
    graph, _ = built_in("mnist-mlp")
    (file,) = set(cache.iterdir()) - before
    file.write_bytes(file.read_bytes()[:1000])
    again, _ = built_in("mnist-mlp")
    np.testing.assert_array_equal(again.nodes[0].weight, graph.nodes[0].weight)  # type: ignore[union-attr]


def test_unknown_network() -> None:
    with pytest.raises(InputError, match="'lenet' is not built in; there is mnist-mlp"):
        built_in("lenet")


def test_gemm_names() -> None:
    assert parse_gemm("gemm:5x20x300") == (5, 20, 300)
    assert parse_gemm("mnist-mlp") is None


@pytest.mark.parametrize("text", ["gemm:", "gemm:5x5", "gemm:0x1x1", "gemm:1x-2x3", "gemm:1x1x1x1"])
def test_gemm_names_wrong(text: str) -> None:
    with pytest.raises(InputError, match="expected gemm:MxKxN with positive numbers, not"):
        parse_gemm(text)
