"""Every registered operator has what an operator needs, and its gradient is that of its result."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import numpy as np
import pytest

from pulsarray.compiler.ir.graph import Graph, Node
from pulsarray.compiler.ir.operator import Operator
from pulsarray.compiler.ir.show import show
from pulsarray.compiler.ir.value import constant, network_input
from pulsarray.compiler.ops.add import Add
from pulsarray.compiler.ops.relu import Relu
from pulsarray.compiler.reference.gradcheck import directional, gradients
from pulsarray.compiler.reference.run import run, run_outputs
from pulsarray.errors import InputError
from pulsarray.sim.random.graphs import OPERATORS, one_operator, random_graph, random_samples

SHAPES = [(), (1,), (6,), (1, 4), (3, 4), (5, 6, 2), (4, 4, 6), (1, 1, 3), (2, 3, 2, 4)]
CASES = 30


def drawn(kind: type[Operator]) -> Iterator[tuple[np.random.Generator, Graph]]:
    """Networks of one operator on values of many shapes, of which some must fit."""
    rng = np.random.default_rng(zlib.crc32(kind.title.encode()))
    graphs = [one_operator(rng, kind, SHAPES[k % len(SHAPES)]) for k in range(CASES)]
    made = [graph for graph in graphs if graph is not None]
    assert made, f"{kind.title}: draw takes none of {SHAPES}"
    return ((rng, graph) for graph in made)


def differences(rng: np.random.Generator, graph: Graph) -> tuple[float, float]:
    """Change of a random sum of the outputs along a random direction: by gradients, measured."""
    inputs = random_samples(rng, graph, 3)
    results = run(graph, inputs)
    errors = {name: rng.normal(size=results[name].shape) for name in graph.outputs}
    data = inputs | {value.name: value.array for value in graph.constants}
    directions = {name: rng.normal(size=array.shape) for name, array in data.items()}
    slopes = gradients(graph, inputs, errors)
    told = sum(float((slopes[n] * d).sum()) for n, d in directions.items() if n in slopes)
    return told, directional(graph, inputs, errors, directions)


@pytest.mark.parametrize("kind", OPERATORS, ids=lambda kind: kind.title)
def test_operators_say_what_they_are(kind: type[Operator]) -> None:
    assert kind.summary
    assert kind.reads
    assert all(place < len(kind.reads) for place in kind.constants | kind.positive)


@pytest.mark.parametrize("kind", OPERATORS, ids=lambda kind: kind.title)
def test_results_have_the_shape_and_type_that_is_told(kind: type[Operator]) -> None:
    for rng, graph in drawn(kind):
        for dtype in (np.float32, np.float64):
            inputs = {n: x.astype(dtype) for n, x in random_samples(rng, graph, 2).items()}
            result = run_outputs(graph, inputs)[graph.output.name]
            assert result.shape == (2, *graph.output.shape)
            assert result.dtype == dtype
            assert graph.macs >= 0


@pytest.mark.parametrize(
    "kind", [kind for kind in OPERATORS if not kind.mixes_samples], ids=lambda kind: kind.title
)
def test_samples_do_not_depend_on_each_other(kind: type[Operator]) -> None:
    for rng, graph in drawn(kind):
        inputs = random_samples(rng, graph, 2)
        whole = run(graph, inputs)[graph.output.name]
        for k in range(2):
            single = run(graph, {name: x[k : k + 1] for name, x in inputs.items()})
            np.testing.assert_allclose(single[graph.output.name][0], whole[k], rtol=1e-12)


@pytest.mark.parametrize("kind", OPERATORS, ids=lambda kind: kind.title)
def test_gradients_are_central_differences(kind: type[Operator]) -> None:
    for rng, graph in drawn(kind):
        told, measured = differences(rng, graph)
        assert told == pytest.approx(measured, rel=1e-6, abs=1e-6), show(graph)


@pytest.mark.parametrize("kind", OPERATORS, ids=lambda kind: kind.title)
def test_text_names_the_operator_and_what_it_reads(kind: type[Operator]) -> None:
    for _, graph in drawn(kind):
        (line,) = (line for line in show(graph).splitlines() if " = " in line)
        assert f" = {kind.title}(%x" in line
        assert all(name in line for name in graph.nodes[0].inputs)


@pytest.mark.parametrize("kind", OPERATORS, ids=lambda kind: kind.title)
def test_another_number_of_inputs_is_refused(kind: type[Operator]) -> None:
    for _, graph in drawn(kind):
        (node,) = graph.nodes
        inputs = ("x",) * (len(kind.reads) + 1)
        if kind.reads[-1].endswith("..."):
            inputs = ()
        with pytest.raises(InputError, match=f"{kind.title} reads {', '.join(kind.reads)}"):
            graph.rebuilt([type(node)(node.name, node.op, inputs, node.output)])


@pytest.mark.parametrize("kind", OPERATORS, ids=lambda kind: kind.title)
def test_what_passes_are_told_is_true(kind: type[Operator]) -> None:
    for rng, graph in drawn(kind):
        (node,), inputs = graph.nodes, random_samples(rng, graph, 2)
        x, result = inputs["x"], run(graph, inputs)[graph.output.name]
        if kind.is_elementwise:
            swapped = node.op.real(x.reshape(-1)[::-1])
            np.testing.assert_allclose(swapped, result.reshape(-1)[::-1], rtol=1e-14)
        if kind.is_monotonic:
            assert (np.diff(node.op.real(np.sort(x.reshape(-1)))) >= 0.0).all()
        if node.op.limits is not None:
            np.testing.assert_array_equal(result, np.clip(x, *node.op.limits))
        if kind.only_trains:
            np.testing.assert_array_equal(result, x)
        if kind.only_moves or kind.only_chooses:
            arrays = [x, *(value.array[None] for value in graph.constants)]
            assert np.isin(result, np.concatenate([array.reshape(-1) for array in arrays])).all()
        if kind.only_moves:
            assert kind.only_chooses


@pytest.mark.parametrize("seed", range(200))
def test_gradients_of_random_networks(seed: int) -> None:
    graph = random_graph(seed)
    told, measured = differences(np.random.default_rng([seed, 1]), graph)
    assert told == pytest.approx(measured, rel=1e-5, abs=1e-5), show(graph)


@pytest.mark.parametrize("seed", range(20))
def test_outputs_are_the_same_where_other_values_are_not_kept(seed: int) -> None:
    graph = random_graph(seed)
    inputs = random_samples(np.random.default_rng(seed), graph, 2)
    values, outputs = run(graph, inputs), run_outputs(graph, inputs)
    assert set(outputs) == set(graph.outputs)
    for name, result in outputs.items():
        np.testing.assert_array_equal(result, values[name])


def test_a_sum_of_constants_is_the_same_for_each_sample() -> None:
    data = [network_input("x", (2,)), constant("a", np.ones(2)), constant("b", np.arange(2.0))]
    nodes = [Node("relu", Relu(), ("x",), "y"), Node("sum", Add(), ("a", "b"), "z")]
    result = run_outputs(Graph("g", data, nodes, ("z",)), np.zeros((3, 2), np.float32))["z"]
    np.testing.assert_array_equal(result, np.array([[1.0, 2.0]] * 3, np.float32), strict=True)


def test_samples_are_checked() -> None:
    graph = random_graph(0, (2, 3))
    with pytest.raises(InputError, match="random0: input 'x' is missing; inputs: 'x'"):
        run(graph, {})
    with pytest.raises(InputError, match=r"x: samples must have shape \(2, 3\), not \(3,\)"):
        run(graph, {"x": np.zeros((2, 3))})
