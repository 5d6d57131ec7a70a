"""Training in integers: steps by hand, and gradients against floating point."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from pulsarray.compiler.builder import Builder
from pulsarray.compiler.reference.mantissas import Scales
from pulsarray.compiler.training.differentiate import (
    Loss,
    Optimizer,
    TrainingNetwork,
    differentiate,
)
from pulsarray.compiler.training.integer_pass import IntegerPass
from pulsarray.compiler.training.interpreter import TrainInterpreter, TrainState, real
from pulsarray.compiler.training.rules import adapt, make_room
from pulsarray.errors import InputError
from tests.compiler.backprop import backprop, rounded, targets_of


def network(
    sizes: tuple[int, ...],
    activations: tuple[str, ...],
    loss: str,
    seed: int = 0,
    parameter: float | None = None,
    **optimizer: float,
) -> TrainingNetwork:
    rng = np.random.default_rng(seed)
    builder = Builder("net", sizes[0])
    for place, activation in enumerate(activations):
        k, n = sizes[place : place + 2]
        builder.dense(
            rng.normal(0, 1 / np.sqrt(k), (k, n)), rng.normal(0, 0.1, n), name=f"fc{place + 1}"
        )
        if activation != "identity":
            getattr(builder, activation)()
    return differentiate(builder.build(), Loss(loss, parameter), Optimizer(**optimizer))


def started(
    trained: TrainingNetwork, batch: int = 16, rate: float = 0.1
) -> tuple[TrainInterpreter, TrainState, npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """An interpreter, its calibrated state, and a batch of random data."""
    rng = np.random.default_rng(1)
    interpreter = TrainInterpreter(trained)
    x = rng.normal(0, 1, (batch, trained.graph.input.size))
    t = targets_of(trained, batch, rng)
    state = interpreter.initial(x, t, learning_rate=rate, batch=batch)
    codes = interpreter.encode(state, x), interpreter.encode_target(state, t)
    interpreter.calibrate(state, *codes)
    return interpreter, state, *codes


def same(left: TrainState, right: TrainState) -> bool:
    return (left.exponents, left.counts, left.rates) == (
        right.exponents, right.counts, right.rates
    ) and all(
        np.array_equal(value, right.values[name]) for name, value in left.values.items()
    )  # fmt: skip


NETWORKS = [
    (("relu", "relu", "identity"), "mse", None),
    (("tanh", "sigmoid"), "mse", None),
    (("sigmoid", "tanh"), "mse", None),
    (("relu", "softmax"), "cross-entropy", None),
    (("tanh", "sigmoid"), "binary-cross-entropy", None),
    (("tanh", "identity"), "mae", None),
    (("relu", "tanh"), "mae", None),
    (("tanh", "identity"), "huber", 0.25),
    (("sigmoid", "relu"), "huber", None),
    (("tanh", "identity"), "log-cosh", None),
    (("tanh", "tanh"), "log-cosh", None),
    (("tanh", "identity"), "quantile", 0.2),
    (("tanh", "identity"), "hinge", None),
    (("relu", "tanh"), "hinge", None),
    (("step",), "perceptron", None),
]


@pytest.mark.parametrize(("activations", "loss", "parameter"), NETWORKS)
def test_gradients_are_those_of_floating_point(
    activations: tuple[str, ...], loss: str, parameter: float | None
) -> None:
    sizes = (12, 9, 7, 5)[: len(activations) + 1]
    trained = network(sizes, activations, loss, parameter=parameter)
    interpreter, state, x, t = started(trained)
    before = state.copy()
    outputs = interpreter.outputs(state, x)
    trace = interpreter.step(state, [(x, t)])
    wanted = backprop(trained, before, x, t)
    assert np.abs(outputs - wanted.pop("outputs")).max() < 2e-3
    for name, value in wanted.items():
        assert np.linalg.norm(real(name, trace) - value) <= 0.01 * np.linalg.norm(value), name
    assert not trace.saturated
    assert {name: trace.exponents[name] for name in before.exponents} == before.exponents
    assert np.array_equal(trace.tensors["fc1.output"], interpreter.forward(before, x)["fc1.output"])


def test_updates_follow_the_gradients() -> None:
    trained = network((12, 9, 5), ("tanh", "softmax"), "cross-entropy", weight_decay=0.5)
    interpreter, state, x, t = started(trained)
    before = state.copy()
    trace = interpreter.step(state, [(x, t)])
    scale = 2.0 ** before.exponents["fc1.weight"]
    moved = {name: state.values[name] - values for name, values in before.values.items()}
    change, weight = moved["fc1.weight.master"] * scale / (1 << 16), before.values["fc1.weight"]
    wanted = -0.1 * (real("fc1.weight.gradient", trace) / 16 + 0.5 * weight * scale)
    assert np.abs(change - wanted).max() < 1e-4 * np.abs(wanted).max()
    change = moved["fc1.bias"] * 2.0**-24
    wanted = -0.1 * real("fc1.bias.gradient", trace) / 16
    assert np.abs(change - wanted).max() < 1e-4 * np.abs(wanted).max()


@pytest.mark.parametrize("activations", [("relu", "softmax"), ("tanh", "softmax")])
def test_chunks_give_the_same_as_one_batch(activations: tuple[str, ...]) -> None:
    trained = network((12, 9, 5), activations, "cross-entropy", momentum=0.9)
    interpreter, whole, x, t = started(trained)
    parts = whole.copy()
    for _ in range(20):
        one = interpreter.step(whole, [(x, t)])
        several = interpreter.step(parts, [(x[a : a + 6], t[a : a + 6]) for a in (0, 6, 12)])
        assert one.saturated == several.saturated
        assert one.tensors.keys() == several.tensors.keys()
        assert all(np.array_equal(v, several.tensors[name]) for name, v in one.tensors.items())
    assert same(whole, parts)


def test_calibration_changes_exponents_alone() -> None:
    trained = network((12, 9, 5), ("relu", "identity"), "mse")
    interpreter, state, x, t = started(trained)
    again = state.copy()
    interpreter.calibrate(again, x, t)
    assert same(state, again)
    trace = interpreter.step(state, [(x, t)])
    for name in again.counts:
        if name != "fc1.output":  # the largest sum may be negative
            assert 1 << 13 <= np.abs(trace.tensors[name]).max() <= 1 << 14, name


def one_weight(decay: int = 0, velocity: int = 0) -> TrainState:
    names = ("fc.weight", "fc.bias")
    master = 1000 << 16
    values = {"fc.weight": 1000, "fc.weight.master": master, "fc.bias": master}
    values |= {f"{name}.velocity": velocity for name in names}
    state = TrainState(
        values={name: np.array([[value]]) for name, value in values.items()},
        exponents={"fc.weight": -13, "rate": -20, "decay": -25},
        counts={},
        rates={"rate": 23456, "decay": decay},
    )
    state.exponents |= {f"{name}.gradient": -12 for name in names}
    state.exponents |= {f"{name}.velocity": -26 for name in names}
    return state


def update(state: TrainState, gradient: int, **optimizer: float) -> None:
    """All updates of one weight and one bias that have the same gradient."""
    graph = Builder("one", 1).dense(np.ones((1, 1)), np.ones(1), name="fc").build()
    one = differentiate(graph, Loss("mse"), Optimizer(**optimizer))
    gradients = {f"fc.{kind}.gradient": np.array([[gradient]]) for kind in ("weight", "bias")}
    IntegerPass(one, 256, state, Scales(state.exponents)).update(gradients)


def test_plain_update_with_decay() -> None:
    state = one_weight(decay=20001)
    update(state, 777, weight_decay=0.1)
    weight = (1000 << 16) - rounded(1000 * 20001, -16 + 25) - rounded(777 * 23456, -29 + 12 + 20)
    assert state.values["fc.weight.master"] == weight
    assert state.values["fc.bias"] == (1000 << 16) - rounded(777 * 23456, -24 + 12 + 20)
    assert state.values["fc.weight"] == rounded(weight, 16)


def test_momentum_keeps_the_velocity_at_the_larger_exponent() -> None:
    state = one_weight(velocity=123457)
    update(state, -777, momentum=0.9)
    velocity = rounded(123457 * 29491, 15 + 2) + rounded(-777, -24 + 12)
    assert state.exponents["fc.weight.velocity"] == -24
    assert state.values["fc.weight.velocity"] == velocity
    lost = rounded(velocity * 23456, -29 + 24 + 20)
    assert state.values["fc.weight.master"] == (1000 << 16) - lost
    state.exponents["fc.weight.gradient"] = -30
    update(state, -777, momentum=0.9)
    assert state.exponents["fc.weight.velocity"] == -24
    velocity = rounded(velocity * 29491, 15) + rounded(-777, 6)
    assert state.values["fc.weight.velocity"] == velocity


def test_adaptive_exponents_rise_at_once_and_fall_after_eight_steps() -> None:
    state = one_weight()
    state.exponents["a"], state.counts["a"] = -10, 0
    for level in (3, 3, 3, 3, 3, 3, 3):
        assert not adapt(state, {"a": level})
    assert (state.exponents["a"], state.counts["a"]) == (-10, 7)
    adapt(state, {"a": 3})
    assert (state.exponents["a"], state.counts["a"]) == (-11, 0)
    adapt(state, {"a": 2})
    assert (state.exponents["a"], state.counts["a"]) == (-11, 1)
    assert not adapt(state, {"a": 4})  # one bit beyond the aim: nothing was cut
    assert (state.exponents["a"], state.counts["a"]) == (-10, 0)
    assert adapt(state, {"a": 6}) == ["a"]
    assert (state.exponents["a"], state.counts["a"]) == (-8, 0)
    adapt(state, {"a": 300})
    assert state.exponents["a"] == 127


@pytest.mark.parametrize(
    ("master", "raised"),
    [
        (0x7F000000, True),
        (0x7EFFFFFF, False),
        (-0x7F000000, False),
        (-0x7F000001, True),
        (0x7F000003, True),
    ],
)
def test_weights_near_their_limit_get_room(master: int, raised: bool) -> None:
    state = one_weight()
    state.values["fc.weight.master"] = np.array([[master]])
    make_room(state)
    assert state.exponents["fc.weight"] == -13 + raised
    assert state.values["fc.weight.master"] == (rounded(master, 1) if raised else master)
    if raised:
        assert state.values["fc.weight"] == rounded(rounded(master, 1), 16)


def test_start() -> None:
    trained = network((2, 2), ("identity",), "mse", momentum=0.9)
    trained.layers[0].weight[:] = [[0.5, -1.0], [0.25, 0.0]]
    interpreter = TrainInterpreter(trained)
    x, t = np.array([[1.0, -3.0]]), np.array([[0.99999, 0.5]])
    state = interpreter.initial(x, t, learning_rate=0.5, batch=4)
    assert [state.exponents[name] for name in ("input", "target", "fc1.weight", "rate")] == [
        -13, -14, -13, -17
    ]  # fmt: skip
    assert state.rates == {"rate": 1 << 14}
    assert state.values["fc1.weight"].tolist() == [[4096, -8192], [2048, 0]]
    assert state.values["fc1.weight.master"][0, 1] == -8192 << 16
    assert state.exponents["fc1.weight.velocity"] == -128
    assert interpreter.encode(state, x).tolist() == [[8192, -24576]]


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([[0.0, 1.0], [8.0, 0.0]], r"input: sample 1 must be within \+-3.99988, not 8"),
        ([[0.0, 1.0], [0.0, np.nan]], "input: sample 1 must be finite, not nan"),
        ([[0.0]], r"input: shape must be \(samples, 2\), not \(1, 1\)"),
        (["a"], "input: must be an array of numbers"),
        (np.zeros((0, 2)), "input: at least one sample is needed"),
    ],
)
def test_bad_samples_are_named(values: npt.ArrayLike, text: str) -> None:
    interpreter = TrainInterpreter(network((2, 1), ("identity",), "hinge"))
    state = interpreter.initial([[1.0, -3.0]], [[1.0]], learning_rate=0.5, batch=1)
    with pytest.raises(InputError, match=text):
        interpreter.encode(state, values)


def test_bad_numbers_are_named() -> None:
    trained = network((2, 1), ("identity",), "hinge")
    interpreter = TrainInterpreter(trained)
    state = interpreter.initial([[1.0, -3.0]], [[1.0]], learning_rate=0.5, batch=1)
    with pytest.raises(InputError, match="target: sample 1 must be -1 or 1 with hinge, not 0"):
        interpreter.encode_target(state, [[1.0], [0.0]])
    with pytest.raises(InputError, match="target: must have 1 samples, not 2"):
        interpreter.initial([[1.0, 2.0]], [[1.0], [-1.0]], learning_rate=0.5, batch=1)
    with pytest.raises(InputError, match="learning rate / batch: must be more than 0"):
        interpreter.set_rate(state, 0.0, 1)
    with pytest.raises(InputError, match="batch: must be 1 or more, not 0"):
        interpreter.set_rate(state, 0.1, 0)
    codes = interpreter.encode(state, [[1.0, 2.0]]), interpreter.encode_target(state, [[1.0]])
    with pytest.raises(InputError, match=r"tensor: must be one of .*, not 'fc2.output'"):
        real("fc2.output", interpreter.step(state, [codes]))
    trained.layers[0].bias[:] = 200.0
    with pytest.raises(InputError, match=r"fc1.bias: values must be within \+-128, not 200"):
        interpreter.initial([[1.0, -3.0]], [[1.0]], learning_rate=0.5, batch=1)


@pytest.mark.parametrize("loss", ["mse", "binary-cross-entropy"])
def test_xor(loss: str) -> None:
    x, t = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), np.array([[0], [1], [1], [0]])
    solved = 0
    for seed in range(3):
        interpreter = TrainInterpreter(
            network((2, 4, 1), ("tanh", "sigmoid"), loss, seed, momentum=0.9)
        )
        state = interpreter.initial(x, t, learning_rate=1.0, batch=4)
        codes = interpreter.encode(state, x), interpreter.encode_target(state, t)
        interpreter.calibrate(state, *codes)
        for _ in range(400):
            interpreter.step(state, [codes])
        solved += np.array_equal(interpreter.outputs(state, codes[0]) > 0.5, t)
    assert solved >= 2


def test_values_that_stay_zero_say_nothing_about_scales() -> None:
    """Behind a layer whose ReLU gives nothing a bias learns on, for as long as one likes."""
    dead = Builder("dead", (2,))
    dead.dense(np.ones((2, 2)), np.full(2, -50.0), name="fc").relu()
    dead.dense(np.ones((2, 2)), np.array([0.5, -0.25]), name="out")
    interpreter = TrainInterpreter(differentiate(dead.build(), Loss("mse"), Optimizer()))
    x, t = np.random.default_rng(0).normal(size=(4, 2)), np.tile([[0.8, 0.3]], (4, 1))
    state = interpreter.initial(x, t, learning_rate=0.1, batch=4)
    codes = interpreter.encode(state, x), interpreter.encode_target(state, t)
    interpreter.calibrate(state, *codes)
    held = state.exponents["fc.output"], state.counts["fc.output"]
    for _ in range(300):
        interpreter.step(state, [codes])
    assert (state.exponents["fc.output"], state.counts["fc.output"]) == held
    np.testing.assert_allclose(interpreter.outputs(state, codes[0]), t, atol=1e-3)
