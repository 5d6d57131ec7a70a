"""Vectors too long to be one pixel: as inputs, joined, and with arithmetic between."""

from __future__ import annotations

import numpy as np
import pytest

from pulsarray.compiler.ir.graph import Graph, Node
from pulsarray.compiler.ir.operator import Operator
from pulsarray.compiler.ir.value import Shape, Value, constant, network_input, parameter
from pulsarray.compiler.ir.window import Window
from pulsarray.compiler.ops.add import Add
from pulsarray.compiler.ops.concat import Concat
from pulsarray.compiler.ops.convolution import Convolution
from pulsarray.compiler.ops.flatten import Flatten, Unflatten
from pulsarray.compiler.ops.layout import Reshape
from pulsarray.compiler.ops.pooling import MaxPool
from pulsarray.compiler.ops.reduction import ReduceMax, ReduceMean, ReduceSum
from pulsarray.compiler.ops.softmax import Softmax
from pulsarray.compiler.ops.subtract import Subtract
from pulsarray.compiler.passes.pipeline import folded
from pulsarray.compiler.reference.run import run_outputs

RNG = np.random.default_rng(5)
LONG = 6000
FRAMES = 400, 15


def assert_folds(nodes: list[Node], inputs: dict[str, Shape], *more: Value) -> Graph:
    """Folding makes maps of all values and changes no result; the network of maps."""
    declared = [network_input(name, shape) for name, shape in inputs.items()]
    graph = Graph("g", [*declared, *more], nodes, (nodes[-1].output,))
    made = folded(graph)
    samples = {name: RNG.normal(size=(2, *shape)) for name, shape in inputs.items()}
    maps = {name: x.reshape(2, *made.values[name].shape) for name, x in samples.items()}
    (wanted,), (got,) = run_outputs(graph, samples).values(), run_outputs(made, maps).values()
    np.testing.assert_allclose(got.reshape(wanted.shape), wanted, rtol=1e-9, atol=1e-9)
    return made


@pytest.mark.parametrize("kind", [ReduceMax, ReduceMean, ReduceSum])
def test_a_signal_is_normalized_and_cut_into_frames(kind: type[Operator]) -> None:
    weight = parameter("w", RNG.normal(size=(1, 4, 15, 3)))
    nodes = [
        Node("level", kind((-1,)), ("x",), "level"),
        Node("centre", Subtract(), ("x", "level"), "centred"),
        Node("shift", Add(), ("centred", "k"), "shifted"),
        Node("frames", Reshape((1, *FRAMES)), ("shifted",), "f"),
        Node("spectrum", Convolution(Window((1, 4), (1, 2))), ("f", "w", "b"), "y"),
    ]
    more = [constant("k", RNG.normal(size=LONG)), weight, parameter("b", np.zeros(3))]
    made = assert_folds(nodes, {"x": (LONG,)}, *more)
    assert made.values["x"].shape == (1, *FRAMES)


def test_vectors_of_several_maps_follow_one_another() -> None:
    nodes = [
        Node("flat a", Flatten(), ("a",), "af"),
        Node("flat b", Flatten(), ("b",), "bf"),
        Node("both", Concat(), ("af", "bf"), "all"),
        Node("rows", Unflatten((1, 1000, 6), tuple(range(LONG))), ("all",), "rows"),
        Node("softmax", Softmax(), ("rows",), "y"),
    ]
    assert_folds(nodes, {"a": (20, 20, 12), "b": (10, 10, 12)})


def test_states_of_many_steps_are_rows() -> None:
    steps = 100
    nodes = [Node(f"s{k}", Add(), ("x", f"k{k}"), f"h{k}") for k in range(steps)]
    offsets = [constant(f"k{k}", RNG.normal(size=48)) for k in range(steps)]
    nodes += [
        Node("all", Concat(), tuple(f"h{k}" for k in range(steps)), "all"),
        Node("map", Unflatten((1, 50, 96), tuple(range(48 * steps))), ("all",), "map"),
        Node("out", Convolution(Window((1, 1))), ("map", "w", "b"), "y"),
    ]
    learned = [parameter("w", RNG.normal(size=(1, 1, 96, 4))), parameter("b", np.zeros(4))]
    assert_folds(nodes, {"x": (48,)}, *offsets, *learned)


@pytest.mark.parametrize("shape", [(1, 5000, 3), (40, 77, 2), (2000, 1, 1), (3, 700, 20)])
def test_the_largest_of_a_large_map(shape: Shape) -> None:
    for axes in ((-3, -2), (-3, -2, -1)):
        made = assert_folds([Node("max", ReduceMax(axes), ("x",), "y")], {"x": shape})
        pools = [n.op.window.kernel for n in made.nodes if isinstance(n.op, MaxPool)]
        assert max(rows * columns for rows, columns in pools) <= 1024


@pytest.mark.parametrize("channels", [1, 15, 16, 17, 40, 197])
def test_the_largest_of_many_channels(channels: int) -> None:
    for axes in ((-1,), (-3, -2, -1), (-2, -1)):
        assert_folds([Node("max", ReduceMax(axes), ("x",), "y")], {"x": (3, 5, channels)})
