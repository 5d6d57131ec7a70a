"""Softmax inside a network in training: random networks on the model beside the interpreter."""

from __future__ import annotations

import numpy as np
import pytest

from pulsarray.compiler.builder import Builder
from pulsarray.compiler.ir.graph import Graph
from pulsarray.compiler.ops.loss import Loss
from pulsarray.compiler.training.deviations import check_gradients
from pulsarray.compiler.training.differentiate import Optimizer
from pulsarray.errors import InputError
from pulsarray.sim.random.training_networks import (
    DIMS,
    NetworkSetup,
    Prepared,
    network_config,
    prepare,
)
from tests.compiler.training_cases import beside_model, beyond_roundings

QUICK, MANY, BLOCK = 24, 400, 50


def drawn(random: np.random.Generator) -> Graph:
    """Attention of one to three heads, causal or not, gates, and softmax by itself."""
    rows, tokens, channels = (int(size) for size in random.integers((1, 2, 1), (4, 12, 7)))
    builder = Builder("attention", (rows, tokens, channels))

    def layer(before: int, count: int, source: str = "") -> str:
        weight = random.normal(0, before**-0.5, (1, 1, before, count))
        bias = random.normal(0, 0.1, count)
        return builder.convolution(weight, bias, name="layer", source=source).last

    width = int(random.integers(2, 9))
    values = layer(channels, width)
    for _ in range(int(random.integers(1, 4))):
        kind, inner = random.random(), int(random.integers(1, 8))
        query, key = layer(width, inner, values), layer(width, inner, values)
        builder.matmul(key, transpose_b=True, source=query)
        if kind < 0.2:
            builder.relu()
        builder.softmax(causal=bool(random.random() < 0.5))
        if kind > 0.7:
            builder.dropout(0.3)
        weights = builder.last
        builder.matmul(layer(width, width, values), source=weights)
        if 0.2 < kind < 0.5:
            mixed = builder.last
            layer(width, width, values)
            builder.sigmoid().multiply(mixed)
        if kind < 0.6:
            builder.add(values)
        values = builder.layer_norm(np.ones(width), np.zeros(width)).last
    if random.random() < 0.4:
        builder.softmax()
    if random.random() < 0.3:
        builder.global_average_pool()
    count, outputs = int(np.prod(builder.build().output.shape)), int(random.integers(2, 6))
    return builder.flatten().dense(random.normal(0, count**-0.5, (count, outputs))).build()


def prepared(seed: int) -> Prepared | None:
    """One on a random machine; None if that is too small."""
    random = np.random.default_rng((23, seed))
    graph = drawn(random)
    loss = Loss(str(random.choice(("mse", "huber"))))
    setup = NetworkSetup(
        graph=graph,
        loss=loss,
        optimizer=Optimizer(momentum=float(random.choice((0.0, 0.9)))),
        batch=int(random.integers(1, 4)),
    )
    try:
        return prepare(setup, network_config(random, DIMS[seed % len(DIMS)]), seed)
    except InputError as error:
        reason = str(error)
    assert any(word in reason for word in ("tables", "fit", "words", "take turns")), reason
    return None


def wrong(seed: int) -> list[str]:
    """What two steps on the model make of it other than the interpreter."""
    made = prepared(seed)
    return [] if made is None else beside_model(made)


@pytest.mark.parametrize("seed", range(QUICK))
def test_random_networks(seed: int) -> None:
    assert not wrong(seed)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, MANY, BLOCK))
def test_many_random_networks(first: int) -> None:
    by_seed = {seed: wrong(seed) for seed in range(first, first + BLOCK)}
    assert not {seed: names for seed, names in by_seed.items() if names}


@pytest.mark.parametrize("seed", range(8))
def test_gradients_are_those_of_float64(seed: int) -> None:
    made = prepared(seed)
    if made is not None:
        check = check_gradients(made.training.network, made.inputs, made.targets)
        assert not beyond_roundings(check)


def test_what_is_refused() -> None:
    """Softmax of what Flatten made of a map."""
    flat = Builder("flat", (1, 3, 2)).convolution(np.ones((1, 1, 2, 2))).flatten().softmax()
    graph = flat.dense(np.ones((6, 1))).build()
    setup = NetworkSetup(graph=graph, loss=Loss("mse"), batch=2)
    with pytest.raises(InputError, match=r"softmax: training needs softmax of a map \(H, W, C\)"):
        prepare(setup, network_config(np.random.default_rng(0), 4), 0)
