"""Built-in networks and their names."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from pulsarray import compiler
from pulsarray.compiler.interpreter import run_float
from pulsarray.compiler.ir.graph import Graph
from pulsarray.compiler.passes.pipeline import quantize_graph
from pulsarray.config import PRESETS
from pulsarray.errors import InputError
from pulsarray.model.functional import execute
from pulsarray.program import pack, unpack
from pulsarray.zoo import lenet, networks
from pulsarray.zoo.networks import accuracy, built_in, load_digits, parse_gemm
from tests.compiler.codes import codes_of


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _own_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULSARRAY_CACHE", str(cache))


def test_digits_are_split_once_and_for_all() -> None:
    digits = load_digits()
    assert (digits.train_images.shape, digits.test_images.shape) == ((4000, 784), (1000, 784))
    assert digits.test_labels[:8].tolist() == [6, 5, 3, 7, 8, 9, 4, 3]
    samples = np.concatenate([digits.train_images, digits.test_images])
    labels = np.concatenate([digits.train_labels, digits.test_labels])
    assert np.bincount(labels).tolist() == [500] * 10
    assert len({sample.tobytes() for sample in samples}) == 5000
    assert (samples.min(), samples.max()) == (0.0, 1.0)


def test_digits_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        load_digits().test_labels[0] = 0


def assert_same_weights(one: Graph, other: Graph) -> None:
    """Of all constants of two networks."""
    for first, second in zip(one.constants, other.constants, strict=True):
        np.testing.assert_array_equal(first.array, second.array)


def test_mnist_is_accurate_and_cached(cache: Path) -> None:
    graph, calibration = built_in("mnist-mlp")
    digits = load_digits()
    assert graph.parameters == 13002
    assert calibration.shape == (500, 784)
    assert accuracy(graph, digits.test_images, digits.test_labels) >= 0.90
    (file,) = cache.glob("mnist-mlp*.npz")
    written = file.stat().st_mtime_ns
    again, _ = built_in("mnist-mlp")
    assert_same_weights(again, graph)
    assert file.stat().st_mtime_ns == written


@pytest.mark.parametrize("scale_bits", [16, 31])
def test_int8_is_within_a_point_of_float(scale_bits: int) -> None:
    graph, calibration = built_in("mnist-mlp")
    digits = load_digits()
    network = quantize_graph(graph, calibration, replace(PRESETS["small"], scale_bits=scale_bits))
    codes = network.input.codes.encode(digits.test_images).reshape(-1, 1, 1, 784)
    answers = codes_of(network, codes).reshape(len(codes), -1).argmax(axis=1)
    in_float = accuracy(graph, digits.test_images, digits.test_labels)
    assert float(np.mean(answers == digits.test_labels)) >= in_float - 0.01


def test_mnist_program_answers_like_the_interpreter() -> None:
    graph, calibration = built_in("mnist-mlp")
    config = PRESETS["small"]
    network = quantize_graph(graph, calibration, config)
    program = compiler.compile(network, config, batch=40, effort=1000)
    codes = network.input.codes.encode(load_digits().test_images[:40])
    source, result = program.tensor("image"), program.tensor("logits")
    memory = program.memory.copy()
    memory[source.address :][: source.bytes(config)] = pack(codes, source, config)
    got = unpack(execute(program, memory), result, config)
    wanted = codes_of(network, codes.reshape(40, 1, 1, -1)).reshape(40, -1)
    np.testing.assert_array_equal(got, wanted)


def test_broken_cache_is_made_again(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks, "_EPOCHS", 1)
    before = set(cache.iterdir())
    graph, _ = built_in("mnist-mlp")
    (file,) = set(cache.iterdir()) - before
    file.write_bytes(file.read_bytes()[:1000])
    again, _ = built_in("mnist-mlp")
    assert_same_weights(again, graph)


@pytest.mark.slow
def test_lenet_is_accurate_in_float_and_in_int8(cache: Path) -> None:
    graph, calibration = built_in("lenet")
    digits = load_digits()
    images, labels = digits.test_images.reshape(-1, 28, 28, 1), digits.test_labels
    assert graph.parameters == 61706
    assert calibration.shape == (500, 28, 28, 1)
    in_float = accuracy(graph, images, labels)
    assert in_float >= 0.96
    network = quantize_graph(graph, calibration, PRESETS["small"])
    answers = codes_of(network, network.input.codes.encode(images)).reshape(len(images), -1)
    assert float(np.mean(answers.argmax(axis=1) == labels)) >= in_float - 0.01
    (file,) = cache.glob("lenet*.npz")
    written = file.stat().st_mtime_ns
    again, _ = built_in("lenet")
    assert_same_weights(again, graph)
    assert file.stat().st_mtime_ns == written


def test_lenet_learns_quickly(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lenet, "RECIPE", replace(lenet.RECIPE, epochs=1))
    monkeypatch.setattr(lenet, "train_lenet", partial(lenet.train_lenet, recipe=lenet.RECIPE))
    graph, _ = built_in("lenet")
    digits = load_digits()
    images = digits.test_images[:300].reshape(-1, 28, 28, 1)
    assert accuracy(graph, images, digits.test_labels[:300]) > 0.8
    assert len(list(cache.glob("lenet*-1-50-*.npz"))) == 1


def test_resnet8_is_that_of_the_benchmark() -> None:
    graph, calibration = built_in("resnet8")
    assert sum(node.op.title == "convolution" for node in graph.nodes) == 9
    assert graph.macs == 12_501_632
    everything = sum(value.size for value in graph.constants)
    assert everything == 78_666  # as Keras counts: with means and variances
    assert calibration.shape == (16, 32, 32, 3)
    assert graph.output.shape == (10,)
    again, samples = built_in("resnet8")
    assert_same_weights(again, graph)
    np.testing.assert_array_equal(samples, calibration)


@pytest.mark.slow
def test_resnet50() -> None:
    graph, calibration = built_in("resnet50")
    assert graph.output.shape == (1000,)
    assert calibration.shape == (2, 3, 224, 224)
    assert 25_000_000 < graph.parameters < 26_000_000
    result = run_float(graph, calibration[:1])
    assert np.isfinite(result).all()
    assert result.std() > 0.0


def test_unknown_network() -> None:
    with pytest.raises(InputError, match="'lanet' is not built in; there is mnist-mlp, lenet"):
        built_in("lanet")


def test_gemm_names() -> None:
    assert parse_gemm("gemm:5x20x300") == (5, 20, 300)
    assert parse_gemm("mnist-mlp") is None


@pytest.mark.parametrize("text", ["gemm:", "gemm:5x5", "gemm:0x1x1", "gemm:1x-2x3", "gemm:1x1x1x1"])
def test_gemm_names_wrong(text: str) -> None:
    with pytest.raises(InputError, match="expected gemm:MxKxN with positive numbers, not"):
        parse_gemm(text)
