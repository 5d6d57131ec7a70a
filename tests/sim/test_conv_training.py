"""Steps of networks of feature maps on RTL, equal to the model; the long comparison is slow."""

from __future__ import annotations

import os

import numpy as np
import pytest

from pulsarray.sim.random.cases import differences
from pulsarray.sim.random.convolution_training import DIMS, convolution_cases, convolution_config

SEED = int(os.environ.get("PULSARRAY_SEED", "1"))


def differing(dim: int, seed: int, count: int, simulator: str) -> list[list[str]]:
    """The differences of steps on a machine that the seed draws, those of all without any."""
    config = convolution_config(np.random.default_rng(seed), dim)
    cases = convolution_cases(config, seed, count)
    by_case = differences(cases, config, simulator)
    return [[case.name, *texts] for case, texts in zip(cases, by_case, strict=True) if texts]


def test_some_convolutions_learn_on_verilator() -> None:
    assert not differing(4, SEED, 4, "verilator")


@pytest.mark.slow
@pytest.mark.parametrize("simulator", ["verilator", "icarus"])
@pytest.mark.parametrize("dim", DIMS)
def test_convolutions_learn(dim: int, simulator: str) -> None:
    count = 25 if simulator == "verilator" else 4
    assert not differing(dim, 100 * SEED + dim, count, simulator)
