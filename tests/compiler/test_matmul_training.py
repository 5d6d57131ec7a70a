"""Products of two results in training: random networks on the model beside the interpreter."""

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


WAYS = [(False, False), (True, False), (False, True)]


class Drawing:
    """A network of which each operator reads what the one before it gave.

    ``values`` has the shapes (H, W, C) of all results, which others may read, too.
    """

    def __init__(self, random: np.random.Generator) -> None:
        self.random = random
        shape = tuple(int(size) for size in random.integers(1, (4, 8, 8)))
        self.builder = Builder("products", shape)
        self.values: dict[str, tuple[int, ...]] = {"input": shape}

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the last result."""
        return self.values[self.builder.last]

    def keep(self, shape: tuple[int, ...]) -> None:
        self.values[self.builder.last] = shape

    def layer(self, count: int) -> None:
        *sizes, before = self.shape
        weight = self.random.normal(0, before**-0.5, (1, 1, before, count))
        self.builder.convolution(weight, self.random.normal(0, 0.1, count), name="conv")
        self.keep((*sizes, count))

    def factors(self) -> list[tuple[str, tuple[bool, bool]]]:
        """Results from before that the last one can be multiplied with, and how."""
        _, rows, columns = self.shape
        return [
            (name, way)
            for name, shape in self.values.items()
            for way in WAYS
            if name != self.builder.last
            and shape[2 if way[1] else 1] == (rows if way[0] else columns)
        ]

    def product(self) -> None:
        if not self.factors():
            self.layer(self.values["input"][2])
        factors = self.factors()
        other, way = factors[int(self.random.integers(len(factors)))]
        height, *sizes = self.shape
        columns = self.values[other][1 if way[1] else 2]
        self.builder.matmul(other, name="product", transpose_a=way[0], transpose_b=way[1])
        self.keep((height, sizes[1 if way[0] else 0], columns))

    def other(self) -> None:
        """A layer, a normalization, an activation, or a sum."""
        kind, channels = self.random.random(), self.shape[2]
        shape = self.shape
        same = [n for n, s in self.values.items() if s == shape and n != self.builder.last]
        if kind < 0.5 or channels < 2:
            self.layer(int(self.random.integers(1, 10)))
            return
        if kind < 0.7:
            self.builder.layer_norm(self.random.uniform(0.5, 1.5, channels), np.zeros(channels))
        elif kind < 0.85 or not same:
            getattr(self.builder, str(self.random.choice(("relu", "silu"))))()
        else:
            self.builder.add(str(self.random.choice(same)))
        self.keep(shape)

    def graph(self) -> Graph:
        self.layer(int(self.random.integers(1, 10)))
        for _ in range(int(self.random.integers(2, 5))):
            self.other()
            self.product()
        rows, outputs = int(np.prod(self.shape)), int(self.random.integers(2, 6))
        weight = self.random.normal(0, rows**-0.5, (rows, outputs))
        return self.builder.flatten().dense(weight, name="fc").build()


def prepared(seed: int) -> Prepared | None:
    """One on a random machine; None if that is too small."""
    random = np.random.default_rng((22, seed))
    setup = NetworkSetup(
        graph=Drawing(random).graph(),
        loss=Loss("mse"),
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


@pytest.mark.parametrize("turned", [(True, True), (False, False)])
def test_what_is_refused(turned: tuple[bool, bool]) -> None:
    """Both transposed, or a product of a value with itself."""
    builder = Builder("g", (2, 3, 3)).convolution(np.ones((1, 1, 3, 3)), name="a")
    other = "a" if turned == (False, False) else "input"
    builder.matmul(other, name="m", transpose_a=turned[0], transpose_b=turned[1])
    graph = builder.flatten().dense(np.ones((18, 1))).build()
    with pytest.raises(InputError, match="m: training needs a product of two different results"):
        NetworkSetup(graph=graph, loss=Loss("mse"), batch=1).network()


def test_values_that_are_no_maps_are_refused() -> None:
    builder = Builder("g", (3, 3))
    builder.relu().matmul("input", name="m").flatten()
    graph = builder.dense(np.ones((9, 1))).build()
    with pytest.raises(InputError, match=r"m: training needs maps \(H, W, C\)"):
        NetworkSetup(graph=graph, loss=Loss("mse"), batch=1).network()
