"""The float reference against central differences, and its steps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pulsarray.compiler.builder import Builder
from pulsarray.compiler.training.differentiate import LOSSES, Loss, Optimizer, differentiate
from pulsarray.compiler.training.float_reference import FloatNetwork, central_differences
from pulsarray.sim.random.training import dense_network, samples

HIDDEN = ["identity", "relu", "sigmoid", "tanh"]
SMOOTH = [name for name in LOSSES if name != "perceptron"]


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10**6),
    st.sampled_from(SMOOTH),
    st.lists(st.sampled_from(HIDDEN), min_size=1, max_size=3),
    st.integers(1, 5),
)
def test_gradients_are_slopes(seed: int, name: str, functions: list[str], count: int) -> None:
    random = np.random.default_rng(seed)
    functions[-1] = LOSSES[name].after or functions[-1]
    sizes = random.integers(2, 6, len(functions) + 1).tolist()
    trained = differentiate(dense_network(sizes, functions, seed), Loss(name), Optimizer())
    network = FloatNetwork(trained)
    x, t = samples(trained, count, seed)
    rows = network.forward(x)
    last = f"{trained.layers[-1].name}.output"
    kinks = [rows[f"{layer.name}.sum"] for layer in trained.layers if layer.activation == "relu"]
    kinks += [rows[last] - t, np.abs(rows[last] - t) - 1, 1 - t * rows[last]]
    assume(min(np.abs(values).min() for values in kinks) > 1e-3)
    gradients = network.backward(x, t)
    for key, slopes in central_differences(network, x, t).items():
        assert not np.isnan(slopes).any()
        scale = max(np.abs(gradients[key]).max(), 1e-3)
        assert np.abs(gradients[key] - slopes).max() < 1e-6 * scale


def test_weights_in_columns_have_slopes() -> None:
    weight = np.asfortranarray(np.random.default_rng(0).normal(size=(4, 3)))
    graph = Builder("columns", 4).dense(weight, name="fc1").tanh().build()
    network = FloatNetwork(differentiate(graph, Loss("mse"), Optimizer()))
    x, t = samples(network.network, 3)
    slopes = central_differences(network, x, t)["fc1.weight.gradient"]
    assert slopes == pytest.approx(network.backward(x, t)["fc1.weight.gradient"], abs=1e-8)


def test_large_tensors_are_sampled() -> None:
    network = FloatNetwork(differentiate(dense_network([5, 4], ["tanh"]), Loss("mse"), Optimizer()))
    slopes = central_differences(network, *samples(network.network, 2), most=6)
    assert np.isfinite(slopes["fc1.weight.gradient"]).sum() == 6


def test_frozen_layers_have_no_gradient() -> None:
    graph = dense_network([3, 4, 2], ["tanh", "identity"])
    frozen = FloatNetwork(differentiate(graph, Loss("mse"), Optimizer(), ["fc2"]))
    x, t = samples(frozen.network, 4)
    gradients = frozen.backward(x, t)
    assert "fc2.weight.gradient" not in gradients
    whole = FloatNetwork(differentiate(graph, Loss("mse"), Optimizer())).backward(x, t)
    assert np.array_equal(gradients["fc1.weight.gradient"], whole["fc1.weight.gradient"])


def test_momentum_and_decay() -> None:
    graph = dense_network([1, 1], ["identity"])
    optimizer = Optimizer(momentum=0.5, weight_decay=0.1)
    network = FloatNetwork(differentiate(graph, Loss("mse"), optimizer))
    w, b = 2.0, 0.0
    network.parameters = {"fc1.weight": np.array([[w]]), "fc1.bias": np.array([b])}
    x, t = np.array([[1.0], [3.0]]), np.array([[1.0], [2.0]])
    v_w = v_b = 0.0
    for _ in range(3):
        error = w * x + b - t
        v_w = 0.5 * v_w + float((error * x).mean())
        v_b = 0.5 * v_b + float(error.mean())
        w, b = w * (1 - 0.2 * 0.1) - 0.2 * v_w, b - 0.2 * v_b
        network.step(x, t, 0.2)
    assert network.parameters["fc1.weight"][0, 0] == pytest.approx(w)
    assert network.parameters["fc1.bias"][0] == pytest.approx(b)
