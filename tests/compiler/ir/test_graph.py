"""Graphs check what they are made of, and print as text."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from pulsarray.compiler.ir.formats import Affine8
from pulsarray.compiler.ir.graph import Graph, Node
from pulsarray.compiler.ir.operator import Operator, registered
from pulsarray.compiler.ir.show import show
from pulsarray.compiler.ir.value import Shape, Value, activation, constant, network_input, parameter
from pulsarray.errors import InputError


@dataclass(frozen=True)
class _Scaled(
    Operator,
    title="test_scaled",
    summary="x * factor * power",
    reads=("x", "factor"),
    constants=(1,),
):
    power: float = 1.0

    def shape(self, *shapes: Shape) -> Shape:
        if shapes[1] != shapes[0]:
            raise InputError(f"factors must have shape {shapes[0]}, not {shapes[1]}")
        return shapes[0]


X, W = network_input("x", (2, 3)), parameter("w", np.ones((2, 3)))


def test_results_get_the_shapes_and_formats_that_they_are_declared_with() -> None:
    codes = Affine8(0.5, -3)
    nodes = [Node("a", _Scaled(), ("x", "w"), "y"), Node("b", _Scaled(2.0), ("y", "w"), "z")]
    graph = Graph("g", [X, W, activation("z", (2, 3), codes)], nodes, ("z",))
    assert graph.values["y"].shape == (2, 3)
    assert graph.output.codes == codes
    assert graph.readers == {"x": 1, "w": 2, "y": 1}
    assert graph.parameters == 6


def test_a_graph_is_printed_one_line_a_value_or_operator() -> None:
    nodes = [Node("a", _Scaled(0.25), ("x", "w"), "y"), Node("b", _Scaled(), ("y", "w"), "z")]
    graph = Graph("g", [X, W, activation("z", (2, 3), Affine8(0.5, -3))], nodes, ("z", "y"))
    assert show(graph) == (
        "graph g\n"
        "  input %x: 2x3 real\n"
        "  parameter @w: 2x3 real\n"
        "  %y: 2x3 real = test_scaled(%x, @w) power=0.25\n"
        "  %z: 2x3 int8(0.5, -3) = test_scaled(%y, @w)\n"
        "  output %z, %y\n"
    )


@pytest.mark.parametrize(
    ("declared", "inputs", "output", "message"),
    [
        ([X, W], ("x", "v"), "y", "a: reads 'v', which nothing before it writes"),
        ([X, W], ("x", "w"), "x", "a: 'x' is written twice"),
        ([X, W], ("x",), "y", "a: test_scaled reads x, factor, not 1 values"),
        ([X, W, W], ("x", "w"), "y", "g: two values are named 'w'"),
        ([W], ("w", "w"), "y", "g: a network needs at least one input"),
        ([X, W], ("w", "x"), "y", "a: input 1 of test_scaled must be constant, 'x' is not"),
        (
            [X, constant("v", np.ones(3))],
            ("x", "v"),
            "y",
            r"a: factors must have shape \(2, 3\), not \(3,\)",
        ),
        (
            [X, W, activation("y", (6,))],
            ("x", "w"),
            "y",
            r"a: result must have shape \(2, 3\), not \(6,\)",
        ),
    ],
)
def test_what_does_not_fit_is_refused_by_name(
    declared: list[Value], inputs: tuple[str, ...], output: str, message: str
) -> None:
    with pytest.raises(InputError, match=f"^{message}$"):
        Graph("g", declared, [Node("a", _Scaled(), inputs, output)], (output,))


def test_values_that_nothing_reads_are_left_out_of_a_rebuilt_graph() -> None:
    other = constant("v", np.ones((2, 3)))
    nodes = [Node("a", _Scaled(), ("x", "w"), "y"), Node("b", _Scaled(), ("y", "v"), "z")]
    graph = Graph("g", [X, W, other], nodes, ("z",))
    short = graph.rebuilt(nodes[:1], outputs=("y",))
    assert set(short.values) == {"x", "w", "y"}
    with pytest.raises(InputError, match="nothing writes the output 'z'"):
        graph.rebuilt(nodes[:1])


def test_operators_register_themselves_by_title() -> None:
    assert registered()["test_scaled"] is _Scaled
    with pytest.raises(TypeError, match="two operators are named 'test_scaled'"):

        class _Other(Operator, title="test_scaled"):
            pass
