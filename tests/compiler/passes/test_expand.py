"""Composites and what they are made of compute the same."""

from __future__ import annotations

import zlib

import numpy as np
import pytest

from pulsarray.compiler.ir.graph import Graph, Node
from pulsarray.compiler.ir.operator import Operator
from pulsarray.compiler.ir.show import show
from pulsarray.compiler.ir.value import network_input, parameter
from pulsarray.compiler.ops.layer_norm import LayerNorm
from pulsarray.compiler.ops.softmax import Softmax
from pulsarray.compiler.passes.expand import expand
from pulsarray.compiler.reference.gradcheck import gradients
from pulsarray.compiler.reference.run import run_outputs
from pulsarray.sim.random.graphs import OPERATORS, one_operator, random_graph, random_samples

COMPOSITES = [kind for kind in OPERATORS if kind.is_composite()]
SHAPES = [(5,), (3, 4), (2, 3, 6), (1, 1, 3), (2, 3, 2, 4)]


def assert_the_same(graph: Graph, rng: np.random.Generator) -> None:
    made = expand(graph, ends=True)
    assert not any(node.op.is_composite() for node in made.nodes)
    inputs = random_samples(rng, graph, 3)
    results, expected = run_outputs(made, inputs), run_outputs(graph, inputs)
    errors = {name: rng.normal(size=result.shape) for name, result in expected.items()}
    slopes, known = gradients(made, inputs, errors), gradients(graph, inputs, errors)
    for name in graph.outputs:
        np.testing.assert_allclose(results[name], expected[name], rtol=1e-9, atol=1e-12)
    for name in {value.name for value in graph.declared} & {*known}:
        scale = np.abs(known[name]).max()
        np.testing.assert_allclose(slopes[name], known[name], rtol=1e-8, atol=1e-9 * scale + 1e-12)


@pytest.mark.parametrize("kind", COMPOSITES, ids=lambda kind: kind.title)
def test_an_expansion_is_the_definition(kind: type[Operator]) -> None:
    rng = np.random.default_rng(zlib.crc32(kind.title.encode()))
    for shape in SHAPES * 3:
        graph = one_operator(rng, kind, shape)
        assert graph is not None
        assert_the_same(graph, rng)


@pytest.mark.parametrize("seed", range(40))
def test_networks_are_expanded_everywhere(seed: int) -> None:
    assert_the_same(random_graph(seed), np.random.default_rng([seed, 1]))


def test_a_layer_normalization_as_text() -> None:
    nodes = [Node("norm", LayerNorm(), ("x", "scale", "shift"), "y")]
    learned = [parameter("scale", np.ones(4)), parameter("shift", np.zeros(4))]
    graph = Graph("g", [network_input("x", (3, 4)), *learned], nodes, ("y",))
    assert show(expand(graph)) == (
        "graph g\n"
        "  input %x: 3x4 real\n"
        "  parameter @scale: 4 real\n"
        "  parameter @shift: 4 real\n"
        "  %norm.reduce_mean0: 3x1 real = reduce_mean(%x)\n"
        "  %norm.subtract1: 3x4 real = subtract(%x, %norm.reduce_mean0)\n"
        "  %norm.square2: 3x4 real = square(%norm.subtract1)\n"
        "  %norm.reduce_mean3: 3x1 real = reduce_mean(%norm.square2)\n"
        "  %norm.reciprocal_root4: 3x1 real = reciprocal_root(%norm.reduce_mean3) epsilon=1e-05\n"
        "  %norm.multiply5: 3x4 real = multiply(%norm.subtract1, %norm.reciprocal_root4)\n"
        "  %norm.multiply6: 3x4 real = multiply(%norm.multiply5, @scale)\n"
        "  %y: 3x4 real = add(%norm.multiply6, @shift)\n"
        "  output %y\n"
    )
    assert show(expand(graph, keep={"layer_norm"})) == show(graph)


def test_what_the_host_computes_is_expanded_only_where_something_reads_it() -> None:
    nodes = [Node("a", Softmax(), ("x",), "y"), Node("b", Softmax(), ("y",), "z")]
    graph = Graph("g", [network_input("x", (3, 4))], nodes, ("z",))
    titles = [node.op.title for node in expand(graph).nodes]
    assert titles == [
        "reduce_max", "subtract", "exp", "reduce_sum", "reciprocal", "multiply", "softmax"
    ]  # fmt: skip
    assert "softmax" not in {node.op.title for node in expand(graph, ends=True).nodes}
