"""Adam in 16 bits: random networks on the model beside the interpreter, and beside float64."""

from __future__ import annotations

import numpy as np
import pytest

from pulsarray.compiler.builder import Builder
from pulsarray.compiler.ops.loss import Loss
from pulsarray.compiler.training.differentiate import Optimizer, differentiate
from pulsarray.compiler.training.float_reference import FloatNetwork
from pulsarray.compiler.training.interpreter import TrainInterpreter
from pulsarray.compiler.training.state import real_masters
from pulsarray.errors import InputError
from pulsarray.sim.random.training import DIMS
from pulsarray.sim.random.training_networks import (
    NetworkSetup,
    Prepared,
    network_config,
    prepare,
)
from tests.compiler.training_cases import beside_model

QUICK, MANY, BLOCK = 24, 400, 50


def prepared(seed: int) -> Prepared | None:
    """A random network on a random machine; None if it cannot be trained, or not on this one."""
    random = np.random.default_rng((24, seed))
    try:
        drawn = NetworkSetup.draw(random)
        optimizer = Optimizer(
            momentum=float(random.choice((0.5, 0.9))),
            squares=float(random.choice((0.9, 0.99, 0.999))),
            weight_decay=float(random.choice((0.0, 0.01))),
            epsilon=float(random.choice((1e-8, 1e-3))),
        )
        setup = NetworkSetup(
            graph=drawn.graph, loss=drawn.loss, optimizer=optimizer, frozen=drawn.frozen,
            batch=drawn.batch, chunk=drawn.chunk,
        )  # fmt: skip
        return prepare(setup, network_config(random, DIMS[seed % len(DIMS)]), seed)
    except InputError:
        return None


def wrong(seed: int) -> list[str]:
    """What three steps on the model make of it other than the interpreter."""
    made = prepared(seed)
    return [] if made is None else beside_model(made, steps=3)


@pytest.mark.parametrize("seed", range(QUICK))
def test_random_networks(seed: int) -> None:
    assert not wrong(seed)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, MANY, BLOCK))
def test_many_random_networks(first: int) -> None:
    by_seed = {seed: wrong(seed) for seed in range(first, first + BLOCK)}
    assert not {seed: names for seed, names in by_seed.items() if names}


def test_steps_are_those_of_float64() -> None:
    """Weights after some steps of a network whose gradients have few zeros."""
    random = np.random.default_rng(5)
    builder = Builder("g", 12).dense(random.normal(0, 0.3, (12, 9)), name="a").tanh()
    graph = builder.dense(random.normal(0, 0.3, (9, 4)), name="b").build()
    optimizer = Optimizer(momentum=0.9, squares=0.999, weight_decay=0.01, epsilon=1e-6)
    network = differentiate(graph, Loss("mse"), optimizer)
    exact, interpreter = FloatNetwork(network), TrainInterpreter(network)
    x, t = random.normal(0, 1, (40, 12)), random.normal(0, 1, (40, 4))
    state = interpreter.initial(x, t, learning_rate=0.01, batch=8)
    interpreter.calibrate(state, interpreter.encode(state, x), interpreter.encode_target(state, t))
    for step in range(60):
        part = slice(8 * (step % 5), 8 * (step % 5) + 8)
        codes = interpreter.encode(state, x[part]), interpreter.encode_target(state, t[part])
        interpreter.step(state, [codes])
        exact.step(x[part], t[part], 0.01)
    for name, values in exact.parameters.items():
        far = real_masters(state)[name].reshape(values.shape) - values
        # Adam moves every weight by about the learning rate, up to 0.6 in 60 steps.
        assert np.abs(far).max() < 2e-3, name


def test_the_definition_of_the_first_step() -> None:
    """Every weight moves by the learning rate against the sign of its gradient."""
    graph = Builder("g", 3).dense(np.array([[0.5], [-0.25], [0.125]]), name="fc").build()
    network = differentiate(graph, Loss("mse"), Optimizer(momentum=0.9, squares=0.999))
    interpreter = TrainInterpreter(network)
    x, t = np.array([[1.0, -0.5, 0.01]]), np.array([[1.0]])
    state = interpreter.initial(x, t, learning_rate=0.01, batch=1)
    codes = interpreter.encode(state, x), interpreter.encode_target(state, t)
    interpreter.calibrate(state, *codes)
    before = real_masters(state)["fc.weight"].copy()
    interpreter.step(state, [codes])
    moved = real_masters(state)["fc.weight"] - before
    np.testing.assert_allclose(moved.reshape(-1), [0.01, -0.01, 0.01], rtol=3e-3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"squares": 0.99999, "momentum": 0.9}, r"beta2: must be from 0 to 0\.9999, not 0\.99999"),
        ({"squares": 0.999}, "beta1: must be more than 0"),
        ({"squares": 0.5, "momentum": 0.8}, r"beta1: .* less than beta2 = 0\.5, not 0\.8"),
        ({"squares": 0.999, "momentum": 0.9, "epsilon": 0.0}, "epsilon: must be more than 0"),
    ],
)
def test_what_is_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Optimizer(**options)
