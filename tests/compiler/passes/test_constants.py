"""What depends on constants alone is computed beforehand."""

from __future__ import annotations

import numpy as np

from pulsarray.compiler.ir.graph import Graph, Node
from pulsarray.compiler.ir.show import show
from pulsarray.compiler.ir.value import constant, network_input, parameter
from pulsarray.compiler.ops.add import Add
from pulsarray.compiler.ops.dense import Dense
from pulsarray.compiler.ops.exp import Exp
from pulsarray.compiler.ops.multiply import Multiply
from pulsarray.compiler.ops.relu import Relu
from pulsarray.compiler.passes.constants import with_constants

DECLARED = [
    network_input("x", (2,)),
    constant("a", np.array([-1.0, 2.0])),
    parameter("w", np.array([[1.0, 2.0, 0.0], [3.0, 4.0, 1.0]])),
    parameter("b", np.array([0.0, 0.5, 1.0])),
]


def test_constants_of_constants() -> None:
    nodes = [
        Node("relu", Relu(), ("a",), "r"),
        Node("dense", Dense(), ("r", "w", "b"), "d"),
        Node("exp", Exp(), ("r",), "e"),
        Node("multiply", Multiply(), ("x", "e"), "y"),
        Node("add", Add(), ("d", "d"), "z"),
    ]
    graph = with_constants(Graph("g", DECLARED, nodes, ("y", "z")))
    assert show(graph) == (
        "graph g\n"
        "  input %x: 2 real\n"
        "  constant @d: 3 real\n"
        "  constant @e: 2 real\n"
        "  %y: 2 real = multiply(%x, @e)\n"
        "  %z: 3 real = add(@d, @d)\n"
        "  output %y, %z\n"
    )
    np.testing.assert_array_equal(graph.values["d"].array, [6.0, 8.5, 3.0])
    np.testing.assert_array_equal(graph.values["e"].array, np.exp([0.0, 2.0]))
