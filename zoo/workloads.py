"""Networks to train that are built in: each with data, a loss, and settings that work."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial

import numpy as np

from pulsarray.compiler.builder import Builder
from pulsarray.compiler.ir.graph import Graph
from pulsarray.compiler.ir.value import Floats
from pulsarray.compiler.training.data import TrainingData
from pulsarray.compiler.training.differentiate import (
    Loss,
    Optimizer,
    TrainingNetwork,
    differentiate,
)
from pulsarray.config import Config, load_config
from pulsarray.errors import InputError, did_you_mean
from pulsarray.extras import missing_package
from pulsarray.zoo.adversarial import FIXED, samples, together
from pulsarray.zoo.networks import load_digits
from pulsarray.zoo.recurrent import SHOWN, recurrent_rows, spiking_digits
from pulsarray.zoo.transformer import (
    character_transformer,
    digit_transformer,
    patches,
    text_windows,
)

__all__ = ["WORKLOADS", "Workload", "digits_8x8", "workload"]

_DATA_SEED = 2026
_TABLE = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
_REGRESSION_WEIGHTS, _REGRESSION_BIAS = (0.7, -1.2, 0.4), 0.3
_REGRESSION_NOISE = 0.01
_PLAIN = Optimizer()
_SMALL_TRAIN = 1400


@dataclass(frozen=True, kw_only=True)
class Workload:
    """A network with everything that is needed to train it.

    Parameters
    ----------
    name, description
        Its name, and what it is in a line.
    sizes, functions
        Widths, the input's first, and the activation after each layer.
    data
        Gives the samples.
    loss, optimizer, learning_rate, batch, epochs
        How it is trained unless something else is asked for.
    spread
        Standard deviation of the first weights times the square root of their inputs.
    config, settings
        Preset of the machine, and what is otherwise of it, ``key=value``.
    graph
        Makes a network of feature maps from a seed; ``sizes`` and ``functions`` are then empty.
    frozen
        Layers that do not learn.
    """

    name: str
    description: str
    sizes: Sequence[int] = ()
    functions: Sequence[str] = ()
    graph: Callable[[int], Graph] | None = None
    data: Callable[[], TrainingData]
    loss: Loss
    learning_rate: float
    batch: int
    epochs: int
    optimizer: Optimizer = _PLAIN
    spread: float = 1.0
    config: str = "train-small"
    settings: Sequence[str] = ()
    frozen: Sequence[str] = ()

    @property
    def machine(self) -> Config:
        """The machine."""
        return load_config(self.config, self.settings)

    def build(self, seed: int) -> Graph:
        """The network with random weights, and biases of 0."""
        if self.graph is not None:
            return self.graph(seed)
        random = np.random.default_rng(seed)
        builder = Builder(self.name, self.sizes[0])
        for number, function in enumerate(self.functions):
            k, n = self.sizes[number], self.sizes[number + 1]
            weight = random.normal(0, self.spread / np.sqrt(k), (k, n))
            builder.dense(weight, name=f"fc{number + 1}")
            if function != "identity":
                getattr(builder, function)()
        return builder.build()

    def network(self, seed: int) -> TrainingNetwork:
        """What its own settings train."""
        return differentiate(self.build(seed), self.loss, self.optimizer, self.frozen)


def _truth_table(values: Sequence[float]) -> TrainingData:
    t = np.array(values).reshape(-1, 1)
    return TrainingData(_TABLE, t, _TABLE, t)


@cache
def _linear(noise: float = _REGRESSION_NOISE) -> TrainingData:
    """Three features, known weights, some noise: 240 samples and 60 to test."""
    random = np.random.default_rng(_DATA_SEED)
    x = random.uniform(-1, 1, (300, 3))
    t = x @ np.array(_REGRESSION_WEIGHTS) + _REGRESSION_BIAS + random.normal(0, noise, 300)
    return TrainingData(x[:240], t[:240, None], x[240:], t[240:, None])


@cache
def digits_8x8() -> tuple[Floats, np.ndarray[tuple[int], np.dtype[np.int64]]]:
    """The 1,797 digits of 8 x 8 pixels that scikit-learn carries, from 0 to 1, in one order.

    Raises
    ------
    ToolMissing
        If scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits as load  # type: ignore[import-untyped]
    except ImportError:
        raise missing_package("digits of 8 x 8 pixels", "sklearn") from None
    images, labels = load(return_X_y=True)
    order = np.random.default_rng(_DATA_SEED).permutation(len(images))
    return images[order] / 16.0, labels[order].astype(np.int64)


def _split(x: Floats, t: Floats, train: int) -> TrainingData:
    return TrainingData(x[:train], t[:train], x[train:], t[train:])


def _odd_digits() -> TrainingData:
    images, labels = digits_8x8()
    return _split(images, (labels % 2).astype(np.float64)[:, None], _SMALL_TRAIN)


def _digits(low: float = 0.0) -> TrainingData:
    images, labels = digits_8x8()
    return _split(images, np.where(np.eye(10)[labels] > 0, 1.0, low), _SMALL_TRAIN)


@cache
def _mnist() -> TrainingData:
    digits, one_hot = load_digits(), np.eye(10)
    return TrainingData(
        digits.train_images,
        one_hot[digits.train_labels],
        digits.test_images,
        one_hot[digits.test_labels],
    )


@cache
def _mnist_patches() -> TrainingData:
    return patches(_mnist())


def _shown_digits() -> TrainingData:
    """The same digit in every run."""
    images, labels = digits_8x8()
    return _split(np.tile(images, SHOWN), np.eye(10)[labels], _SMALL_TRAIN)


def _adversarial_digits() -> TrainingData:
    images, _ = digits_8x8()
    return _split(*samples(images, _DATA_SEED), _SMALL_TRAIN)


def _gate(name: str, values: Sequence[float]) -> Workload:
    return Workload(
        name=name,
        description=f"{name.upper()} of two inputs: a perceptron, its rule, one sample at a time",
        sizes=(2, 1),
        functions=("step",),
        data=partial(_truth_table, values),
        loss=Loss("perceptron"),
        learning_rate=0.25,
        batch=1,
        epochs=20,
    )


def _xor(
    name: str, hidden: int, function: str, rate: float, epochs: int, spread: float
) -> Workload:
    low = 0.0 if function == "sigmoid" else -1.0
    return Workload(
        name=name,
        description=f"XOR, 2-{hidden}-1, {function}, squared error, one sample at a time",
        sizes=(2, hidden, 1),
        functions=(function, function),
        data=partial(_truth_table, (low, 1.0, 1.0, low)),
        loss=Loss("mse"),
        learning_rate=rate,
        batch=1,
        epochs=epochs,
        spread=spread,
    )


def _regression(name: str, loss: Loss, rate: float, epochs: int) -> Workload:
    return Workload(
        name=name,
        description=f"Linear regression, three features, loss {loss.name}",
        sizes=(3, 1),
        functions=("identity",),
        data=_linear,
        loss=loss,
        learning_rate=rate,
        batch=10,
        epochs=epochs,
    )


def _mnist_mlp(
    name: str, function: str, end: str, loss: str, rate: float, spread: float
) -> Workload:
    return Workload(
        name=name,
        description=f"MNIST, 784-16-16-10 (13,002 parameters), {function}, {loss}",
        sizes=(784, 16, 16, 10),
        functions=(function, function, end),
        data=_mnist,
        loss=Loss(loss),
        learning_rate=rate,
        batch=16,
        epochs=5,
        spread=spread,
        config="train",
    )


@dataclass(frozen=True)
class _Rows:
    """Images that are read row by row.

    Parameters
    ----------
    name, images
        The end of workloads' names, and what they are.
    data, side
        Square images.
    hidden, keep
        Units of a cell, and the first bias of a gate that keeps.
    learning_rate, epochs
        How it learns.
    """

    name: str
    images: str
    data: Callable[[], TrainingData]
    side: int
    hidden: int
    keep: float
    learning_rate: float
    epochs: int


_CELLS = {"lstm": ("LSTM", ("state", "cell")), "gru": ("GRU", ("state",))}
_ROWS = (
    _Rows("digits", "Digits of 8 x 8 pixels", _digits, 8, 16, 0.0, 0.05, 10),
    _Rows("mnist", "MNIST", _mnist, 28, 16, 1.0, 0.05, 5),
)


def _recurrent(kind: str, rows: _Rows) -> Workload:
    name, (cell, states) = f"{kind}-{rows.name}", _CELLS[kind]
    return Workload(
        name=name,
        description=f"{rows.images} row by row: {cell} of {rows.hidden} units",
        graph=partial(recurrent_rows, name, kind, rows.side, rows.hidden, rows.keep),
        data=rows.data,
        loss=Loss("cross-entropy"),
        optimizer=Optimizer(momentum=0.9),
        learning_rate=rows.learning_rate,
        batch=20,
        epochs=rows.epochs,
        config="train",
        frozen=[f"{kind}.{state}" for state in states],
    )


def _lenet(seed: int) -> Graph:
    """LeNet-5's class (LeCun et al. 1998) with ReLU and maximum pooling."""
    random = np.random.default_rng(seed)

    def normal(*shape: int) -> Floats:
        return random.normal(0, np.sqrt(2 / np.prod(shape[:-1])), shape)

    builder = Builder("lenet", (28, 28, 1))
    for number, (channels, count) in enumerate(((1, 6), (6, 16)), 1):
        builder.convolution(normal(5, 5, channels, count), name=f"conv{number}").relu()
        builder.max_pool(2, name=f"pool{number}")
    builder.flatten().dense(normal(256, 120), name="fc1").relu()
    builder.dense(normal(120, 84), name="fc2").relu()
    return builder.dense(normal(84, 10), name="fc3").softmax().build()


def _resnet(seed: int) -> Graph:
    """Two residual blocks with batch normalization (He et al. 2016), the second with stride 2."""
    random = np.random.default_rng(seed)
    builder = Builder("resnet-digits", (8, 8, 1))

    def convolve(kernel: int, channels: int, count: int, name: str, source: str = "") -> None:
        shape = (kernel, kernel, channels, count)
        weight = random.normal(0, np.sqrt(2 / np.prod(shape[:-1])), shape)
        stride = 2 if name in ("conv4", "shortcut") else 1
        builder.convolution(weight, stride=stride, padding=kernel // 2, name=name, source=source)
        ones, zeros = np.ones(count), np.zeros(count)
        builder.batch_norm(ones, zeros, zeros, ones, name=f"{name}.norm")

    convolve(3, 1, 8, "conv1")
    builder.relu("relu1")
    convolve(3, 8, 8, "conv2")
    builder.relu()
    convolve(3, 8, 8, "conv3")
    builder.add("relu1", name="add1").relu("relu2")
    convolve(1, 8, 16, "shortcut")
    convolve(3, 8, 16, "conv4", "relu2")
    builder.relu()
    convolve(3, 16, 16, "conv5")
    builder.add("shortcut.norm", name="add2").relu().global_average_pool().flatten()
    weight = random.normal(0, np.sqrt(1 / 16), (16, 10))
    return builder.dense(weight, name="fc").softmax().build()


_ALL = (
    _gate("and", (0.0, 0.0, 0.0, 1.0)),
    _gate("or", (0.0, 1.0, 1.0, 1.0)),
    _regression("linear-regression", Loss("mse"), 0.2, 20),
    Workload(
        name="logistic-regression",
        description="Odd or even digits of 8 x 8 pixels: one sigmoid unit",
        sizes=(64, 1),
        functions=("sigmoid",),
        data=_odd_digits,
        loss=Loss("binary-cross-entropy"),
        learning_rate=0.5,
        batch=20,
        epochs=20,
    ),
    Workload(
        name="softmax-regression",
        description="Digits of 8 x 8 pixels: softmax",
        sizes=(64, 10),
        functions=("softmax",),
        data=_digits,
        loss=Loss("cross-entropy"),
        learning_rate=0.5,
        batch=20,
        epochs=10,
    ),
    _xor("xor", 4, "sigmoid", 4.0, 200, 3.0),
    _xor("xor-2-2-1", 2, "sigmoid", 2.0, 600, 3.0),
    _xor("xor-tanh", 4, "tanh", 0.1, 400, 1.0),
    _xor("xor-2-2-1-tanh", 2, "tanh", 0.1, 400, 2.0),
    _mnist_mlp("mnist-mlp", "relu", "softmax", "cross-entropy", 0.1, np.sqrt(2.0)),
    _mnist_mlp("mnist-mlp-sigmoid", "sigmoid", "sigmoid", "mse", 2.0, 1.0),
    Workload(
        name="lenet",
        description="MNIST, LeNet-5: two convolutions, maximum pooling (44,426 parameters)",
        graph=_lenet,
        data=_mnist,
        loss=Loss("cross-entropy"),
        learning_rate=0.05,
        batch=8,
        epochs=3,
        config="train",
    ),
    Workload(
        name="resnet-digits",
        description="Digits of 8 x 8 pixels: residual blocks with batch normalization",
        graph=_resnet,
        data=_digits,
        loss=Loss("cross-entropy"),
        learning_rate=0.2,
        batch=20,
        epochs=5,
    ),
    *(_recurrent(kind, rows) for rows in _ROWS for kind in _CELLS),
    Workload(
        name="spiking-digits",
        description="Digits of 8 x 8 pixels: 32 spiking neurons, a slope that stands for theirs",
        graph=spiking_digits,
        data=_shown_digits,
        loss=Loss("cross-entropy"),
        optimizer=Optimizer(momentum=0.9),
        learning_rate=0.1,
        batch=20,
        epochs=5,
        config="train",
        frozen=("lif.membrane", "trace.state"),
    ),
    Workload(
        name="gan-digits",
        description="Digits of 8 x 8 pixels: a generator and a discriminator against each other",
        graph=together,
        data=_adversarial_digits,
        loss=Loss("binary-cross-entropy"),
        optimizer=Optimizer(momentum=0.5),
        learning_rate=0.05,
        batch=16,
        epochs=20,
        frozen=FIXED,
    ),
    Workload(
        name="mnist-transformer",
        description="MNIST, 16 patches: a transformer of two blocks, four heads, 64 channels",
        graph=digit_transformer,
        data=_mnist_patches,
        loss=Loss("cross-entropy"),
        optimizer=Optimizer(momentum=0.9, squares=0.999, weight_decay=0.01),
        learning_rate=0.001,
        batch=8,
        epochs=3,
        config="train",
        settings=("tables=5",),
    ),
    Workload(
        name="characters",
        description="Next characters of Python's help: a causal transformer of two blocks",
        graph=character_transformer,
        data=text_windows,
        loss=Loss("cross-entropy"),
        optimizer=Optimizer(momentum=0.9, squares=0.999, weight_decay=0.01),
        learning_rate=0.002,
        batch=4,
        epochs=3,
        config="train",
        settings=("tables=5",),
    ),
    _regression("regression-mae", Loss("mae"), 0.02, 60),
    _regression("regression-huber", Loss("huber", 0.5), 0.2, 20),
    _regression("regression-log-cosh", Loss("log-cosh"), 0.2, 20),
    _regression("regression-quantile", Loss("quantile", 0.5), 0.04, 60),
    Workload(
        name="digits-hinge",
        description="Digits of 8 x 8 pixels: one against the rest, hinge loss",
        sizes=(64, 10),
        functions=("identity",),
        data=partial(_digits, -1.0),
        loss=Loss("hinge"),
        learning_rate=0.05,
        batch=20,
        epochs=10,
    ),
)

WORKLOADS: Mapping[str, Workload] = {found.name: found for found in _ALL}
"""Every built-in workload by name."""


def workload(name: str) -> Workload:
    """A built-in workload.

    Raises
    ------
    InputError
        If there is none of that name; the text lists those there are.
    """
    if name not in WORKLOADS:
        raise InputError(
            f"workload: must be one of {', '.join(WORKLOADS)}, not {name!r}"
            f"{did_you_mean(name, WORKLOADS)}"
        )
    return WORKLOADS[name]
