"""Two networks against each other in one step: each learns what it would learn by itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pulsarray.compiler.training.deviations import check_gradients
from pulsarray.compiler.training.differentiate import Loss, Optimizer
from pulsarray.compiler.training.float_reference import FloatNetwork
from pulsarray.errors import InputError
from pulsarray.sim.random.training_networks import NetworkSetup, network_config, prepare
from pulsarray.zoo.adversarial import FIXED, networks, samples, together
from tests.compiler.training_cases import beside_model

COUNT = 4
SETUP = NetworkSetup(
    graph=together(0), loss=Loss("binary-cross-entropy"), optimizer=Optimizer(momentum=0.5),
    frozen=FIXED, batch=COUNT,
)  # fmt: skip
X, T = samples(np.random.default_rng(1).uniform(0, 1, (COUNT, 64)), 2)


def test_gradients_are_those_of_each_network_by_itself() -> None:
    whole, apart = FloatNetwork(SETUP.network()), networks(0, 0.5)
    made = FloatNetwork(apart.sampler).result(X[:, 64:80])
    pictures = np.concatenate([X[:, :64], made])
    truth = np.repeat([[1.0], [0.0]], COUNT, axis=0)
    wanted = FloatNetwork(apart.discriminator).backward(pictures, truth)
    wanted |= {
        name: array
        for name, array in FloatNetwork(apart.generator)
        .backward(X[:, 80:], np.ones((COUNT, 1)))
        .items()
        if name.startswith("g") and name.endswith(".gradient")
    }
    gradients = whole.backward(X, T)
    for layer in ("g1", "g2", "d1", "d2"):
        for name in (f"{layer}.weight.gradient", f"{layer}.bias.gradient"):
            assert np.abs(wanted[name]).max() > 0
            np.testing.assert_allclose(gradients[name], wanted[name], rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize(("dim", "chunk"), [(4, None), (8, 2)])
def test_steps_are_those_of_the_interpreter(dim: int, chunk: int | None) -> None:
    """With D = 8 an instruction waits for two units at a time for the first time, and one
    semaphore is left.
    """
    config = network_config(np.random.default_rng(dim), dim)
    assert not beside_model(prepare(replace(SETUP, chunk=chunk), config, 1))


def test_results_and_gradients_are_near_float64() -> None:
    check = check_gradients(SETUP.network(), X, T)
    assert check.passes
    assert not check.differences  # what is learned is the slope of no one loss


def test_only_what_shares_weights_may_be_frozen_by_its_own_name() -> None:
    with pytest.raises(InputError, match="frozen: must be layers of shown, d1, d2"):
        replace(SETUP, frozen=("d1@3",)).network()
    network = SETUP.network()
    assert {name: len(network.learners(name)) for name in ("g1", "d1", "shown")} == {
        "g1": 1, "d1": 2, "shown": 0,
    }  # fmt: skip
