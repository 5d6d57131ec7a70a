"""Training on the host: gradients against differences, and that it learns."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pulsarray.compiler.builder import Builder
from pulsarray.compiler.interpreter import run_float
from pulsarray.compiler.ir.graph import Graph
from pulsarray.compiler.reference.run import run_outputs
from pulsarray.errors import InputError
from pulsarray.zoo.fit import Recipe, fit, learning, slopes_of

RNG = np.random.default_rng(7)


def network() -> Graph:
    ones, zeros = np.ones(4), np.zeros(4)
    return (
        Builder("net", (7, 6, 2))
        .convolution(RNG.normal(size=(3, 3, 2, 4)) / 3, RNG.normal(size=4), padding=(1, 1, 1, 0))
        .batch_norm(ones * 1.5, ones / 3, zeros, ones)
        .tanh(name="first")
        .convolution(RNG.normal(size=(3, 2, 2, 4)) / 2, dilation=(1, 2), padding=1, groups=2)
        .add("first")
        .sigmoid()
        .max_pool(2, 2, padding=(0, 0, 1, 1))
        .average_pool(3, 2, padding=1)
        .convolution(RNG.normal(size=(1, 1, 4, 4)), stride=(1, 2), name="small")
        .flatten()
        .dropout()
        .dense(RNG.normal(size=(8, 3)))
        .softmax()
        .build()
    )


def loss(graph: Graph, x: np.ndarray, y: np.ndarray) -> float:
    scores = run_outputs(graph, x)[graph.output.name]
    scores = scores - scores.max(axis=1, keepdims=True)
    chosen = scores[np.arange(len(y)), y] - np.log(np.exp(scores).sum(axis=1))
    return -float(chosen.mean())


def test_gradients_are_those_of_differences() -> None:
    graph = learning(network())
    values = [replace(v, data=v.array.astype(np.float64)) for v in graph.constants]
    graph = graph.rebuilt(graph.nodes, more=values)
    x, y = RNG.normal(size=(5, 7, 6, 2)), RNG.integers(0, 3, 5)
    slopes = slopes_of(graph, x, y)
    assert len(values) == 10
    for value in values:
        array = value.array
        for place in RNG.integers(0, array.size, 5):
            index, kept = np.unravel_index(place, array.shape), array.flat[place]
            sides = []
            for change in (1e-3, -1e-3):
                array[index] = kept + change
                sides.append(loss(graph, x, y))
            array[index] = kept
            expected = (sides[0] - sides[1]) / 2e-3
            assert slopes[value.name][index] == pytest.approx(expected, abs=2e-5, rel=2e-3)


def test_it_learns_and_repeats() -> None:
    """Which half of an image is brighter."""
    x = RNG.normal(size=(200, 6, 6, 1)) * 0.3
    y = RNG.integers(0, 2, 200)
    x[y == 0, :3] += 0.5
    x[y == 1, 3:] += 0.5
    ones, zeros = np.ones(3), np.zeros(3)
    graph = (
        Builder("halves", (6, 6, 1))
        .convolution(RNG.normal(size=(3, 3, 1, 3)) / 3)
        .batch_norm(ones, zeros, zeros, ones)
        .relu()
        .flatten()
        .dense(RNG.normal(size=(48, 2)) / 7)
        .build()
    )
    recipe = Recipe(epochs=8, batch=20, rate=0.01)
    learned = fit(graph, x, y, recipe)
    again = fit(graph, x, y, recipe)
    for first, second in zip(learned.constants, again.constants, strict=True):
        np.testing.assert_array_equal(first.array, second.array)
    assert not np.array_equal(learned.values["norm.mean"].array, zeros)
    for answers in (run_float(learned, x), run_outputs(learning(learned), x)["output"]):
        assert np.mean(answers.argmax(axis=1) == y) > 0.95


def test_refused() -> None:
    graph = Builder("net", (4, 4, 2)).flatten().build()
    with pytest.raises(InputError, match=r"samples must have shape \(samples, 4, 4, 2\)"):
        fit(graph, np.zeros((1, 4, 4)), np.zeros(1, np.int64), Recipe(epochs=1))
    graph = Builder("net", (4, 4, 2)).relu().build()
    with pytest.raises(InputError, match="result must be one vector"):
        fit(graph, np.zeros((1, 4, 4, 2)), np.zeros(1, np.int64), Recipe(epochs=1))
