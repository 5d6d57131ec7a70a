"""Random networks that learn: compiled or refused by name; a step equals the interpreter's."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from pulsarray.compiler.training.deviations import check_gradients
from pulsarray.config import Config
from pulsarray.errors import InputError
from pulsarray.sim.random.training_networks import (
    DIMS,
    NetworkSetup,
    Prepared,
    network_config,
    prepare,
)
from tests.compiler.training_cases import beside_model, beyond_roundings

QUICK, MANY, BLOCK = 60, 1000, 50
_FIELDS = {"batch", "chunk", "config", "frozen", "loss", "random", "input"}
"""What a refusal may name beside an operator."""
Ints = npt.NDArray[np.int64]


def machine(seed: int) -> Config:
    """One of eight for each D."""
    return network_config(np.random.default_rng((11, seed % 40)), DIMS[seed % len(DIMS)])


def drawn(seed: int) -> NetworkSetup | None:
    """A network; None if its windows do not fit its maps."""
    try:
        return NetworkSetup.draw(np.random.default_rng((12, seed)))
    except InputError:
        return None


def trainable(setup: NetworkSetup, seed: int) -> Prepared | None:
    """The network on a machine; None if it is refused, by the name of what is wrong."""
    try:
        return prepare(setup, machine(seed), seed)
    except InputError as error:
        reason = str(error)
    name = reason.partition(":")[0].partition(".")[0]
    assert name in _FIELDS | {node.name for node in setup.graph.nodes}, reason
    return None


def wrong(seed: int) -> list[str]:
    """What two steps on the model make of the state other than the interpreter, and outputs."""
    setup = drawn(seed)
    made = trainable(setup, seed) if setup is not None else None
    if made is None:
        return []
    return beside_model(made)


def far_from_float64(seed: int) -> list[object]:
    """Results, errors and gradients that are further from float64 than roundings take them."""
    setup = drawn(seed)
    made = trainable(setup, seed) if setup is not None else None
    if setup is None or made is None:
        return []
    network = setup.network()
    return beyond_roundings(check_gradients(network, made.inputs, made.targets, steps=0))


@pytest.mark.parametrize("seed", range(QUICK))
def test_random_networks(seed: int) -> None:
    assert not wrong(seed)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, MANY, BLOCK))
def test_many_random_networks(first: int) -> None:
    by_seed = {seed: wrong(seed) for seed in range(first, first + BLOCK)}
    assert not {seed: names for seed, names in by_seed.items() if names}


@pytest.mark.parametrize("seed", range(10))
def test_gradients_of_random_networks(seed: int) -> None:
    assert not far_from_float64(seed)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, MANY // 2, BLOCK))
def test_gradients_of_many_random_networks(first: int) -> None:
    by_seed = {seed: far_from_float64(seed) for seed in range(first, first + BLOCK)}
    assert not {seed: tensors for seed, tensors in by_seed.items() if tensors}


def learns(setup: NetworkSetup) -> bool:
    try:
        setup.network()
    except InputError:
        return False
    return True


def test_most_random_networks_learn() -> None:
    """So that the comparison says something."""
    setups = [setup for seed in range(QUICK) if (setup := drawn(seed)) is not None]
    learning = [setup for setup in setups if learns(setup)]
    assert len(learning) > QUICK // 2
    kinds = {type(node.op).__name__ for setup in learning for node in setup.graph.nodes}
    pools, others = {"MaxPool", "AveragePool"}, {"Dropout", "Add", "BatchNorm"}
    assert kinds >= {"Convolution", "Dense"} | pools | others
