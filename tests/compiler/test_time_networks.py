"""Random networks that learn through time: a step on the model equals the interpreter's."""

from __future__ import annotations

import numpy as np
import pytest

from pulsarray.compiler.reference.run import run_outputs
from pulsarray.compiler.training.deviations import check_gradients
from pulsarray.model.functional import execute
from pulsarray.program import unpack
from pulsarray.sim.random.through_time import draw_stream, draw_time_network, stream_config
from pulsarray.sim.random.training_networks import DIMS, Prepared, network_config, prepare
from tests.compiler.training_cases import beside_model

QUICK, MANY, BLOCK = (0, 2, 3), 1000, 50  # Seed 1 takes as long as six others.


def made(seed: int) -> Prepared:
    """A network on a machine; all of them can be trained."""
    setup = draw_time_network(np.random.default_rng((21, seed)))
    config = network_config(np.random.default_rng((22, seed % 40)), DIMS[seed % len(DIMS)])
    return prepare(setup, config, seed)


@pytest.mark.parametrize("seed", QUICK)
def test_random_networks(seed: int) -> None:
    assert not beside_model(made(seed))


def wrong_outputs(seed: int) -> list[str]:
    """Outputs of several runs in int8 that are not those of the integer definition."""
    config = stream_config(np.random.default_rng((24, seed % 20)), DIMS[seed % len(DIMS)])
    stream = draw_stream(np.random.default_rng((23, seed)), config)
    wanted = run_outputs(stream.graph, stream.codes)
    memory = execute(stream.program)
    computed = {
        name: unpack(memory, stream.program.tensor(name), config).reshape(array.shape)
        for name, array in wanted.items()
    }
    return [name for name, array in wanted.items() if not np.array_equal(computed[name], array)]


@pytest.mark.parametrize("seed", QUICK)
def test_random_streams(seed: int) -> None:
    assert not wrong_outputs(seed)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, MANY, BLOCK))
def test_many_random_streams(first: int) -> None:
    by_seed = {seed: wrong_outputs(seed) for seed in range(first, first + BLOCK)}
    assert not {seed: names for seed, names in by_seed.items() if names}


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, MANY, BLOCK))
def test_many_random_networks(first: int) -> None:
    by_seed = {seed: beside_model(made(seed)) for seed in range(first, first + BLOCK)}
    assert not {seed: names for seed, names in by_seed.items() if names}


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, 200, BLOCK))
def test_gradients_of_random_networks(first: int) -> None:
    for seed in range(first, first + BLOCK):
        prepared = made(seed)
        network = prepared.training.network
        assert check_gradients(network, prepared.inputs, prepared.targets).passes, seed
