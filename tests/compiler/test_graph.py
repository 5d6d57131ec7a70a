"""Networks are checked when they are made."""

from __future__ import annotations

import numpy as np
import pytest

from pulsarray.compiler.builder import Builder
from pulsarray.compiler.graph import Activate, Dense, Graph, Softmax, Value
from pulsarray.compiler.lower import FusedLayer, fuse
from pulsarray.errors import InputError

ONES = np.ones((3, 2))


def dense(weight: np.ndarray = ONES, bias: np.ndarray | None = None) -> Dense:
    return Dense("fc", "in", "out", weight, np.zeros(2) if bias is None else bias)


def test_shapes_follow() -> None:
    graph = Builder("net", (1, 3)).flatten().dense(ONES).relu().softmax().build()
    assert [v.shape for v in graph.values] == [(1, 3), (3,), (2,), (2,), (2,)]
    assert (graph.input.name, graph.output.name, graph.parameters) == ("input", "output", 8)


@pytest.mark.parametrize(
    ("nodes", "text"),
    [
        ([], "net: a network needs at least one operator"),
        ([dense(np.ones(3))], r"fc: weight must have shape \(K, N\), not \(3,\)"),
        ([dense(bias=np.ones(3))], r"fc: bias must have shape \(2,\), not \(3,\)"),
        ([dense(np.ones((4, 2)))], r"fc: input must have shape \(4,\), not \(3,\)"),
        ([dense(ONES * np.nan)], "fc: weight and bias must be finite numbers"),
        ([dense(), dense()], "fc: 'out' is written twice"),
        ([Activate("a", "in", "in", "relu")], "a: 'in' is written twice"),
        ([Activate("a", "in", "x", "gelu")], "a: function must be one of .*, not 'gelu'"),
        ([Activate("a", "in", "x", "clip", 2, 1)], "a: clip needs low <= high, not 2 and 1"),
        (
            [Softmax("s", "in", "x"), Activate("a", "x", "y", "relu")],
            "s: Softmax is only possible as the last operator",
        ),
    ],
)
def test_graph_wrong(nodes: list[Dense], text: str) -> None:
    with pytest.raises(InputError, match=text):
        Graph("net", Value("in", (3,)), nodes)


def test_builder_wrong() -> None:
    with pytest.raises(InputError, match=r"net: weight must have shape \(K, N\), not \(3,\)"):
        Builder("net", 3).dense(np.ones(3))
    with pytest.raises(InputError, match="weight: must be an array of numbers"):
        Builder("net", 3).dense([["a"]])


def test_builder_names_are_unique() -> None:
    graph = Builder("net", 2).relu().relu().relu().build()
    assert [node.name for node in graph.nodes] == ["relu", "relu1", "relu2"]


def test_functions_compute() -> None:
    values = np.array([-2.0, 0.0, 3.0])
    graph = Builder("net", 3).relu().clip(0.5, 2.0).sigmoid().tanh().softmax().build()
    relu, clip, sigmoid, tanh, softmax = graph.nodes
    np.testing.assert_array_equal(relu(values), [0, 0, 3])
    np.testing.assert_array_equal(clip(values), [0.5, 0.5, 2])
    np.testing.assert_allclose(sigmoid(values), 1 / (1 + np.exp(-values)))
    np.testing.assert_array_equal(tanh(values), np.tanh(values))
    np.testing.assert_allclose(softmax(values), np.exp(values) / np.exp(values).sum())


def functions(layer: FusedLayer) -> list[str]:
    return [activation.function for activation in layer.activations]


def test_fuse_groups_activations() -> None:
    graph = Builder("net", 3).dense(ONES).relu().clip(-1, 2).dense(ONES[:2]).tanh().softmax()
    layers, after = fuse(graph.build())
    assert [functions(layer) for layer in layers] == [["relu", "clip"], ["tanh"]]
    assert after == "softmax"


def test_leading_activation_gets_a_product() -> None:
    layers, _ = fuse(Builder("net", 3).tanh().dense(ONES).build())
    assert [functions(layer) for layer in layers] == [["tanh"], []]
    np.testing.assert_array_equal(layers[0].weight, np.eye(3))
