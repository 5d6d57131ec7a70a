"""Operators compute, bit for bit, what the networks of the float graph do."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from pulsarray.compiler import float_graph, float_layers, spatial
from pulsarray.compiler import graph as old
from pulsarray.compiler.ir.graph import Graph, Node
from pulsarray.compiler.ir.operator import registered
from pulsarray.compiler.reference.gradcheck import gradients
from pulsarray.compiler.reference.run import operands, run
from pulsarray.sim.random.graphs import one_operator, random_samples

FUNCTIONS = {"relu", "clip", "sigmoid", "tanh", "step"}
KNOWN = [
    *sorted(FUNCTIONS),
    "add", "average_pool", "batch_norm", "concat", "convolution", "dense", "dropout", "flatten",
    "local_response_norm", "max_pool", "pad", "shuffle", "softmax", "transposed_convolution",
    "unflatten",
]  # fmt: skip
SHAPES = [(6,), (3, 4), (5, 6, 2), (7, 4, 6), (3, 3, 20)]


def before(graph: Graph, node: Node) -> old.Node:
    """The operator as the float graph has it."""
    title = node.op.title
    names = [name for place, name in enumerate(node.inputs) if place not in node.op.constants]
    data = {
        node.op.reads[place]: graph.values[node.inputs[place]].array for place in node.op.constants
    }
    attributes = {f.name: getattr(node.op, f.name) for f in fields(node.op)}  # type: ignore[arg-type]
    if "window" in attributes:
        window = attributes["window"]
        attributes["window"] = spatial.Window(
            window.kernel, window.stride, window.padding, window.dilation
        )
    if title in FUNCTIONS:
        return old.Activate(node.name, names[0], node.output, title, **attributes)
    kind = type(node.op).__name__
    made = getattr(old, kind)
    source = tuple(names) if title in ("add", "concat") else names[0]
    return made(node.name, source, node.output, **data, **attributes)


def is_known(graph: Graph) -> bool:
    """Whether the float graph has it: no sums of different shapes."""
    shapes = {graph.values[name].shape for name in graph.nodes[0].inputs}
    return graph.nodes[0].op.title != "add" or len(shapes) == 1


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("title", KNOWN)
def test_results(title: str, dtype: type) -> None:
    rng = np.random.default_rng(5)
    graphs = [one_operator(rng, registered()[title], SHAPES[k % len(SHAPES)]) for k in range(60)]
    made = [graph for graph in graphs if graph is not None and is_known(graph)]
    assert made
    for graph in made:
        (node,) = graph.nodes
        inputs = {name: x.astype(dtype) for name, x in random_samples(rng, graph, 3).items()}
        values = run(graph, inputs)
        arrays = operands(graph, node, inputs)
        given = [a for place, a in enumerate(arrays) if place not in node.op.constants]
        expected = float_graph.run_node(before(graph, node), *given)
        np.testing.assert_array_equal(values[node.output], expected)


@pytest.mark.parametrize("title", sorted(
    FUNCTIONS | {"dense", "convolution", "max_pool", "average_pool", "flatten", "add",
                 "batch_statistics_norm"}
))  # fmt: skip
def test_gradients(title: str) -> None:
    rng = np.random.default_rng(6)
    graphs = [one_operator(rng, registered()[title], SHAPES[k % len(SHAPES)]) for k in range(60)]
    for graph in (graph for graph in graphs if graph is not None and is_known(graph)):
        data = [
            type(v)(v.name, v.shape, v.format, v.role, v.array.astype(np.float32))
            for v in graph.constants
        ]
        graph = graph.rebuilt(graph.nodes, more=data)
        (node,) = graph.nodes
        inputs = {n: x.astype(np.float32) for n, x in random_samples(rng, graph, 3).items()}
        values = run(graph, inputs)
        error = rng.normal(size=values[node.output].shape).astype(np.float32)
        slopes = gradients(graph, inputs, {node.output: error})
        arrays = operands(graph, node, inputs)
        learned = [a for place, a in enumerate(arrays) if place in node.op.constants]
        given = [a for place, a in enumerate(arrays) if place not in node.op.constants]
        if title == "batch_statistics_norm":
            zeros = np.zeros(len(learned[0]))
            layer: old.Node = spatial.BatchNorm(
                "n",
                "x",
                "y",
                zeros,
                zeros,
                zeros,
                zeros + 1.0,
                node.op.epsilon,  # type: ignore[attr-defined]
            )
        else:
            layer = before(graph, node)
        _, back = float_layers.FORWARD[type(layer)](layer, learned, given)
        by_inputs, by_learned = back(error)
        if len(set(node.inputs)) == len(node.inputs):
            np.testing.assert_array_equal(slopes["x"], by_inputs[0])
        for name, slope in zip(node.inputs[-len(by_learned) :], by_learned, strict=False):
            np.testing.assert_array_equal(slopes[name], slope)
