"""Steps of random networks with attention, losses of maps, and Adam: RTL equal to the model.

One step of some of them is in test_training_rtl.py.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from pulsarray.compiler.ops.loss import Loss
from pulsarray.compiler.training.differentiate import Optimizer
from pulsarray.config import Config
from pulsarray.errors import InputError
from pulsarray.sim.random.cases import Case, differences
from pulsarray.sim.random.training_networks import NetworkSetup, network_config, prepare
from tests.compiler.test_losses_of_maps import setup as loss_of_map
from tests.compiler.test_softmax_training import drawn

SEED = int(os.environ.get("PULSARRAY_SEED", "1"))
DIMS, EACH = (2, 4, 5, 8), 25
ADAM = Optimizer(momentum=0.9, squares=0.999, weight_decay=0.01)


def attention(random: np.random.Generator) -> NetworkSetup:
    """Attention, every other one learning with Adam."""
    optimizer = ADAM if random.random() < 0.5 else Optimizer(momentum=0.9)
    batch = int(random.integers(1, 4))
    return NetworkSetup(graph=drawn(random), loss=Loss("mse"), optimizer=optimizer, batch=batch)


def cases(
    config: Config, draw: Callable[[np.random.Generator], NetworkSetup], seed: int, count: int
) -> Iterator[Case]:
    """Steps of networks that fit a machine."""
    index = 0
    while count:
        random = np.random.default_rng((26, seed, index))
        index += 1
        try:
            program = prepare(draw(random), config, index).program
        except InputError:
            continue
        count -= 1
        yield Case(f"{seed}/{index - 1}", program, int(random.integers(1, 100)), 1)


def differing(dim: int, count: int, simulator: str) -> dict[str, list[str]]:
    """What differs, by case."""
    config = network_config(np.random.default_rng((SEED, dim)), dim)
    steps = [*cases(config, attention, SEED, count), *cases(config, loss_of_map, SEED, count)]
    by_step = differences(steps, config, simulator)
    return {case.name: texts for case, texts in zip(steps, by_step, strict=True) if texts}


@pytest.mark.slow
@pytest.mark.parametrize("dim", DIMS)
def test_many_steps(dim: int) -> None:
    assert not differing(dim, EACH, "verilator")
