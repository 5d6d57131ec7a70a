"""Networks are checked when they are made."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from pulsarray.compiler.builder import Builder
from pulsarray.compiler.ir.draft import Draft
from pulsarray.compiler.ir.graph import Graph
from pulsarray.compiler.ir.operator import Operator
from pulsarray.compiler.ir.value import network_input
from pulsarray.compiler.ops.clip import Clip
from pulsarray.compiler.ops.dense import Dense
from pulsarray.compiler.ops.index import ArgMax
from pulsarray.compiler.ops.relu import Relu
from pulsarray.compiler.passes.ends import with_one_end, with_plain_ends
from pulsarray.errors import InputError

ONES = np.ones((3, 2))

Part = tuple[Operator, str, str]
"""An operator, what it reads and what it writes."""


def network(
    parts: Sequence[Part], weight: np.ndarray = ONES, bias: np.ndarray | None = None
) -> Graph:
    """A network of (3,) of these operators, the dense ones of a weight and bias."""
    draft = Draft("net", [network_input("in", (3,))])
    learned = {"weight": weight, "bias": np.zeros(2) if bias is None else bias}
    for op, source, output in parts:
        draft.add(op.title, op, (source,), output, learned if "weight" in op.reads else {})
    return draft.graph((parts[-1][2],) if parts else ("in",))


def test_shapes_follow() -> None:
    graph = Builder("net", (1, 3)).flatten().dense(ONES).relu().softmax().build()
    shapes = [v.shape for v in graph.values.values() if not v.role.is_constant]
    assert shapes == [(1, 3), (3,), (2,), (2,), (2,)]
    assert (graph.input.name, graph.output.name, graph.parameters) == ("input", "output", 8)


DENSE = (Dense(), "in", "out")


@pytest.mark.parametrize(
    ("parts", "weight", "bias", "text"),
    [
        ([DENSE], np.ones(3), None, r"dense: weight must have shape \(K, N\), not \(3,\)"),
        ([DENSE], ONES, np.ones(3), r"dense: bias must have shape \(2,\), not \(3,\)"),
        ([DENSE], np.ones((4, 2)), None, r"dense: input must have shape \(4,\), not \(3,\)"),
        ([DENSE], ONES * np.nan, None, r"dense\.weight: must be finite numbers"),
        ([DENSE, DENSE], ONES, None, "dense: 'out' is written twice"),
        ([(Relu(), "in", "in")], ONES, None, "relu: 'in' is written twice"),
        ([(Clip(2, 1), "in", "x")], ONES, None, "clip: clip needs low <= high, not 2 and 1"),
    ],
)
def test_graph_wrong(
    parts: list[Part], weight: np.ndarray, bias: np.ndarray | None, text: str
) -> None:
    with pytest.raises(InputError, match=text):
        network(parts, weight, bias)


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ([], "net: a network needs at least one operator"),
        (
            [(ArgMax(), "in", "x"), (Relu(), "x", "y")],
            "argmax: Argmax is only possible as the last operator",
        ),
    ],
)
def test_ends_wrong(parts: list[Part], text: str) -> None:
    with pytest.raises(InputError, match=text):
        with_one_end(network(parts))


def test_several_outputs_are_refused_by_name() -> None:
    draft = Draft("net", [network_input("in", (3,))])
    for name in ("a", "b"):
        draft.add(name, Relu(), ("in",), name)
    with pytest.raises(InputError, match="net: one output is needed here, not 'a', 'b'"):
        with_one_end(draft.graph(("a", "b")))
    assert [node.name for node in with_plain_ends(draft.graph(("b",))).nodes] == ["b"]


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
    relu, clip, sigmoid, tanh, softmax = (node.op.real for node in graph.nodes)
    np.testing.assert_array_equal(relu(values), [0, 0, 3])
    np.testing.assert_array_equal(clip(values), [0.5, 0.5, 2])
    np.testing.assert_allclose(sigmoid(values), 1 / (1 + np.exp(-values)))
    np.testing.assert_array_equal(tanh(values), np.tanh(values))
    np.testing.assert_allclose(softmax(values), np.exp(values) / np.exp(values).sum())
