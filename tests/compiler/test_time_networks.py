"""Random networks that learn through time: a step on the model equals the interpreter's."""

from __future__ import annotations

import numpy as np
import pytest

from pulsarray.compiler.training.deviations import check_gradients
from pulsarray.sim.random.through_time import draw_time_network
from pulsarray.sim.random.training_networks import DIMS, Prepared, network_config, prepare
from tests.compiler.training_cases import beside_model

QUICK, MANY, BLOCK = 10, 1000, 50


def made(seed: int) -> Prepared:
    """A network on a machine; all of them can be trained."""
    setup = draw_time_network(np.random.default_rng((21, seed)))
    config = network_config(np.random.default_rng((22, seed % 40)), DIMS[seed % len(DIMS)])
    return prepare(setup, config, seed)


@pytest.mark.parametrize("seed", range(QUICK))
def test_random_networks(seed: int) -> None:
    assert not beside_model(made(seed))


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, MANY, BLOCK))
def test_many_random_networks(first: int) -> None:
    found = {seed: beside_model(made(seed)) for seed in range(first, first + BLOCK)}
    assert not {seed: names for seed, names in found.items() if names}


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, 200, BLOCK))
def test_gradients_of_random_networks(first: int) -> None:
    for seed in range(first, first + BLOCK):
        prepared = made(seed)
        network = prepared.training.network
        assert check_gradients(network, prepared.inputs, prepared.targets).passes, seed
