"""Layer normalization in training: random networks on the model beside the interpreter."""

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
    """Layer normalizations between layers, activations, poolings and residual sums.

    Without tanh, whose table is off by 22 units where its argument is cut off at 4: a normalization
    of values that are all near 1 shows that, and float64 has no such end.
    """
    height, width, channels = (int(size) for size in random.integers(1, 7, 3))
    builder = Builder("normalized", (height, width, channels))
    scale = random.choice((0.01, 1.0, 30.0))

    def layer(count: int, before: int) -> None:
        weight = random.normal(0, scale * before**-0.5, (1, 1, before, count))
        builder.convolution(weight, random.normal(0, 0.1, count), name="conv")

    def norm(count: int) -> None:
        builder.layer_norm(random.uniform(0.5, 1.5, count), random.normal(0, 0.3, count), name="ln")

    if random.random() < 0.2 and channels > 1:
        norm(channels)
    count = int(random.integers(2, 14))
    layer(count, channels)
    for _ in range(int(random.integers(1, 4))):
        if random.random() < 0.3:
            getattr(builder, str(random.choice(("relu", "gelu", "silu"))))()
        source = builder.last
        norm(count)
        kind = random.random()
        if kind < 0.2:
            builder.relu()
        elif kind < 0.3:
            builder.dropout(0.5)
        elif kind < 0.4:
            norm(count)
        if random.random() < 0.7:
            layer(count, count)
        if random.random() < 0.5:
            builder.add(source, name="add")
    if random.random() < 0.3 and min(height, width) > 1:
        builder.max_pool(2)
    outputs = int(random.integers(2, 8))
    rows = int(np.prod(builder.build().output.shape))
    builder.flatten()
    return builder.dense(random.normal(0, rows**-0.5, (rows, outputs)), name="fc").build()


def prepared(seed: int, chunk: int | None = None) -> Prepared | None:
    """One on a random machine; None if that is too small."""
    random = np.random.default_rng((21, seed))
    setup = NetworkSetup(
        graph=drawn(random),
        loss=Loss(str(random.choice(("mse", "huber")))),
        optimizer=Optimizer(momentum=float(random.choice((0.0, 0.9)))),
        frozen=(str(random.choice(("conv", "ln"))),) if random.random() < 0.2 else (),
        batch=int(random.integers(1, 5)),
        chunk=chunk,
    )
    try:
        return prepare(setup, network_config(random, DIMS[seed % len(DIMS)]), seed)
    except InputError as error:
        reason = str(error)
    assert any(word in reason for word in ("tables", "fit", "words", "take turns")), reason
    return None


def wrong(seed: int, chunk: int | None = None) -> list[str]:
    """What two steps on the model make of it other than the interpreter."""
    made = prepared(seed, chunk)
    return [] if made is None else beside_model(made)


@pytest.mark.parametrize("seed", range(QUICK))
def test_random_networks(seed: int) -> None:
    assert not wrong(seed)


@pytest.mark.parametrize("seed", range(4))
def test_random_networks_sample_by_sample(seed: int) -> None:
    assert not wrong(seed, chunk=1)


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


def test_one_channel_is_refused() -> None:
    builder = Builder("one", (2, 2, 1)).convolution(np.ones((1, 1, 1, 1)), name="conv")
    builder.layer_norm(np.ones(1), np.zeros(1), name="norm").flatten()
    graph = builder.dense(np.ones((4, 1)), name="fc").build()
    setup = NetworkSetup(graph=graph, loss=Loss("mse"), batch=2)
    config = network_config(np.random.default_rng(0), 4)
    with pytest.raises(InputError, match="norm: layer normalization needs 2 to 32767 channels"):
        prepare(setup, config, 0)


def test_flattened_maps_are_refused() -> None:
    builder = Builder("flat", (2, 2, 3)).convolution(np.ones((1, 1, 3, 3)), name="conv").flatten()
    builder.layer_norm(np.ones(12), np.zeros(12), name="norm")
    setup = NetworkSetup(graph=builder.dense(np.ones((12, 1))).build(), loss=Loss("mse"), batch=2)
    with pytest.raises(InputError, match="norm: training normalizes along the 3 channels"):
        setup.network()
