"""Losses of maps, pixel by pixel: random networks on the model beside the interpreter."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from pulsarray.compiler.builder import Builder
from pulsarray.compiler.ops.loss import LOSSES, Loss
from pulsarray.compiler.training.data import prepared as samples_of
from pulsarray.compiler.training.deviations import check_gradients
from pulsarray.compiler.training.differentiate import Optimizer, differentiate
from pulsarray.compiler.training.float_reference import FloatNetwork
from pulsarray.errors import InputError
from pulsarray.sim.random.training_networks import (
    DIMS,
    NetworkSetup,
    Prepared,
    network_config,
    prepare,
)
from tests.compiler.training_cases import beside_model, beyond_roundings

QUICK, MANY, BLOCK = 24, 400, 50


def setup(random: np.random.Generator) -> NetworkSetup:
    """One or two convolutions, and any loss of their pixels."""
    height, width, channels = (int(size) for size in random.integers(1, 8, 3))
    outputs, hidden = int(random.integers(2, 20)), int(random.integers(1, 9))
    loss = Loss(str(random.choice(list(LOSSES))))
    builder = Builder("map", (height, width, channels))
    if random.random() < 0.7:
        kernel = random.normal(0, channels**-0.5, (1, 1, channels, hidden))
        builder.convolution(kernel, name="first").tanh()
        channels = hidden
    kernel = random.normal(0, channels**-0.5, (1, 1, channels, outputs))
    builder.convolution(kernel, random.normal(0, 0.1, outputs), name="last")
    function = loss.rule.after or str(random.choice(("identity", "relu", "sigmoid", "tanh")))
    if function != "identity":
        getattr(builder, function)()
    divides = random.random() < 0.3
    optimizer = Optimizer(momentum=0.9, squares=0.99) if divides else Optimizer()
    return NetworkSetup(
        graph=builder.build(), loss=loss, optimizer=optimizer, batch=int(random.integers(1, 6))
    )


def prepared(seed: int) -> Prepared | None:
    """One on a random machine; None if that is too small."""
    random = np.random.default_rng((25, seed))
    drawn = setup(random)
    try:
        return prepare(drawn, network_config(random, DIMS[seed % len(DIMS)]), seed)
    except InputError as error:
        reason = str(error)
    assert any(word in reason for word in ("tables", "fit", "words", "take turns")), reason
    return None


def wrong(seed: int) -> list[str]:
    """What two steps on the model make of it other than the interpreter."""
    made = prepared(seed)
    return [] if made is None else beside_model(made)


@pytest.mark.parametrize("seed", range(QUICK))
def test_random_networks(seed: int) -> None:
    assert not wrong(seed)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, MANY, BLOCK))
def test_many_random_networks(first: int) -> None:
    by_seed = {seed: wrong(seed) for seed in range(first, first + BLOCK)}
    assert not {seed: names for seed, names in by_seed.items() if names}


@pytest.mark.parametrize("seed", range(8))
def test_gradients_are_those_of_float64(seed: int) -> None:
    made = prepared(seed)
    if made is not None and made.training.network.loss.name != "perceptron":
        check = check_gradients(made.training.network, made.inputs, made.targets)
        assert not beyond_roundings(check)


def tokens(outputs: int = 3) -> Builder:
    kernel = np.linspace(-1.0, 1.0, 2 * outputs).reshape(1, 1, 2, outputs)
    return Builder("tokens", (1, 4, 2)).convolution(kernel, name="last")


def test_the_loss_is_the_mean_over_samples_and_pixels() -> None:
    network = differentiate(tokens().softmax().build(), Loss("cross-entropy"), Optimizer())
    x = np.arange(16.0).reshape(2, 8) / 8
    data = samples_of({"x": x, "labels": np.array([[0, 1, 2, 0], [2, 2, 1, 0]])}, network)
    scores = x.reshape(2, 4, 2) @ np.linspace(-1.0, 1.0, 6).reshape(2, 3)
    powers = np.exp(scores)
    log = np.log(powers / powers.sum(axis=-1, keepdims=True))
    wanted = -(log * data.targets.reshape(2, 4, 3)).sum() / 8
    np.testing.assert_allclose(FloatNetwork(network).loss(x, data.targets), wanted, rtol=1e-12)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.array([0, 1]), r"must be integers of shape \(samples, 4\), not int64 of \(2,\)"),
        (np.array([[0, 1, 2, 3], [0, 0, 0, 0]]), "sample 0 must be 0 to 2 for 3 outputs, not 3"),
    ],
)
def test_labels_that_do_not_fit(labels: npt.NDArray[Any], message: str) -> None:
    network = differentiate(tokens().softmax().build(), Loss("cross-entropy"), Optimizer())
    with pytest.raises(InputError, match=message):
        samples_of({"x": np.zeros((2, 8)), "labels": labels}, network)


def test_a_flattened_map_is_refused() -> None:
    graph = tokens().flatten().build()
    with pytest.raises(InputError, match="not the 12 elements that Flatten made of it"):
        differentiate(graph, Loss("mse"), Optimizer())
