"""Training on the host: gradients against differences, and that it learns."""

from __future__ import annotations

import numpy as np
import pytest

from pulsarray.compiler.builder import Builder
from pulsarray.compiler.float_layers import FORWARD, parameters
from pulsarray.compiler.float_training import Recipe, fit, gradients
from pulsarray.compiler.graph import Dense, Graph
from pulsarray.compiler.spatial import BatchNorm
from pulsarray.errors import InputError

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


def loss(graph: Graph, values: dict[str, list[np.ndarray]], x: np.ndarray, y: np.ndarray) -> float:
    results = {graph.input.name: x}
    for node in graph.nodes:
        given = [results[name] for name in node.inputs]
        if type(node) in FORWARD:
            results[node.output], _ = FORWARD[type(node)](node, values.get(node.name, []), given)
        else:
            results[node.output] = given[0]
    scores = results[graph.output.name]
    scores = scores - scores.max(axis=1, keepdims=True)
    chosen = scores[np.arange(len(y)), y] - np.log(np.exp(scores).sum(axis=1))
    return -float(chosen.mean())


def test_gradients_are_those_of_differences() -> None:
    graph = network()
    values = {n.name: [v.astype(np.float64) for v in parameters(n)] for n in graph.nodes}
    values = {name: learned for name, learned in values.items() if learned}
    x, y = RNG.normal(size=(5, 7, 6, 2)), RNG.integers(0, 3, 5)
    slopes = gradients(graph, values, x, y)  # type: ignore[arg-type]
    for name, learned in values.items():
        for k, array in enumerate(learned):
            for place in RNG.integers(0, array.size, 5):
                index, kept = np.unravel_index(place, array.shape), array.flat[place]
                sides = []
                for change in (1e-3, -1e-3):
                    array[index] = kept + change
                    sides.append(loss(graph, values, x, y))
                array[index] = kept
                expected = (sides[0] - sides[1]) / 2e-3
                assert slopes[name][k][index] == pytest.approx(expected, abs=2e-5, rel=2e-3), name


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
    assert isinstance(learned.nodes[-1], Dense)
    assert isinstance(again.nodes[-1], Dense)
    np.testing.assert_array_equal(learned.nodes[-1].weight, again.nodes[-1].weight)
    norm = learned.nodes[1]
    assert isinstance(norm, BatchNorm)
    assert not np.array_equal(norm.mean, zeros)
    values: dict[str, np.ndarray] = {"input": x.astype(np.float32)}
    for node in learned.nodes:
        values[node.output], _ = FORWARD[type(node)](
            node, parameters(node), [values[name] for name in node.inputs]
        )
    assert np.mean(values["output"].argmax(axis=1) == y) > 0.95


def test_refused() -> None:
    graph = Builder("net", (4, 4, 2)).shuffle([1, 0]).flatten().build()
    with pytest.raises(InputError, match="net: shuffle: Shuffle cannot be trained on the host"):
        fit(graph, np.zeros((1, 4, 4, 2)), np.zeros(1, np.int64), Recipe(epochs=1))
    graph = Builder("net", (4, 4, 2)).flatten().build()
    with pytest.raises(InputError, match=r"samples must have shape \(samples, 4, 4, 2\)"):
        fit(graph, np.zeros((1, 4, 4)), np.zeros(1, np.int64), Recipe(epochs=1))
    graph = Builder("net", (4, 4, 2)).relu().build()
    with pytest.raises(InputError, match="result must be one vector"):
        fit(graph, np.zeros((1, 4, 4, 2)), np.zeros(1, np.int64), Recipe(epochs=1))
