"""What the comparison with float64 sees, and what it does not take for an error."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest

from pulsarray.compiler.builder import Builder
from pulsarray.compiler.ir.graph import Graph
from pulsarray.compiler.numerics import normalization
from pulsarray.compiler.numerics.normalization import Mean, Normalized
from pulsarray.compiler.ops import statistics
from pulsarray.compiler.training.deviations import ROUNDINGS, GradientCheck, check_gradients
from pulsarray.compiler.training.differentiate import Loss, Optimizer, differentiate
from tests.compiler.training_cases import beyond_roundings

Ints = npt.NDArray[np.int64]
Pull = Callable[[Ints, Normalized, Ints, Ints, Mean], tuple[Ints, Ints]]
BATCHES = [3, 5, 40]


def normalized(*sizes: int) -> Graph:
    """Dense layers, the last but one with a normalization."""
    random = np.random.default_rng(3)
    builder = Builder("normalized", sizes[0])
    for place, (k, n) in enumerate(pairwise(sizes[:-1])):
        weight, bias = random.normal(0, k**-0.5, (k, n)), random.normal(0, 0.1, n)
        builder.dense(weight, bias, name=f"fc{place}")
    n = sizes[-2]
    scale = random.uniform(0.5, 1.5, n)
    builder.batch_norm(scale, np.zeros(n), np.zeros(n), np.ones(n), name="norm")
    return builder.dense(random.normal(0, n**-0.5, (n, sizes[-1])), name="last").build()


def checked(graph: Graph, batch: int) -> GradientCheck:
    random = np.random.default_rng(4)
    network = differentiate(graph, Loss("mse"), Optimizer())
    shapes = graph.input.size, graph.output.size
    x, t = (random.normal(0, 1, (batch, size)) for size in shapes)
    return check_gradients(network, x, t)


@pytest.mark.parametrize("batch", [2, *BATCHES])
def test_sums_that_cancel_are_measured_by_roundings(batch: int) -> None:
    """A bias before a normalization has the gradient 0, and over two values everything has."""
    check = checked(normalized(6, 5, 7, 3), batch)
    assert check.passes
    assert not beyond_roundings(check)
    rms = {d.name: d.rms for d in check.deviations}
    assert rms["fc0.bias.gradient"] > 1e6
    assert (rms["fc1.error"] > 1.0) == (batch == 2)


def without_mean(
    error: Ints, normal: Normalized, along: Ints, weight: Ints, mean: Mean
) -> tuple[Ints, Ints]:
    values, shifts = normalization.pull(error, normal, along, weight, mean)
    middle = mean(error.sum(axis=(0, 1, 2)), 12)
    return values + middle * weight * normal.inverse, shifts


def without_slope(
    error: Ints, normal: Normalized, _along: Ints, weight: Ints, mean: Mean
) -> tuple[Ints, Ints]:
    middle = mean(error.sum(axis=(0, 1, 2)), 12)
    return (error * 4096 - middle) * weight * normal.inverse, normal.shift


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("wrong", [without_mean, without_slope])
def test_a_normalization_without_one_of_its_terms_is_seen(
    monkeypatch: pytest.MonkeyPatch, wrong: Pull, batch: int
) -> None:
    monkeypatch.setattr(statistics, "pull", wrong)
    check = checked(normalized(6, 5, 7, 3), batch)
    assert not check.passes
    assert {d.name: d.roundings for d in check.deviations}["fc1.error"] > 10 * ROUNDINGS


def test_zeros_do_not_set_the_scale_of_what_follows() -> None:
    """Behind a dead layer come biases alone: they are all there from the first step on."""
    random = np.random.default_rng(5)
    builder = Builder("dead", (4, 4, 2))
    builder.convolution(random.normal(0, 0.3, (3, 3, 2, 4)), np.full(4, -50.0), padding=1).relu()
    builder.average_pool(2).dropout(0.5).dropout(0.5).flatten()
    graph = builder.dense(random.normal(0, 0.3, (16, 5)), random.normal(0, 0.3, 5)).build()
    check = checked(graph, 3)
    assert check.passes
    assert not beyond_roundings(check)
