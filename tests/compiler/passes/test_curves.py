"""Functions that operators spell out are one, in real numbers and in int8."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from pulsarray.compiler.builder import Builder
from pulsarray.compiler.ir.draft import Draft
from pulsarray.compiler.ir.graph import Graph, Node
from pulsarray.compiler.ir.value import constant, network_input
from pulsarray.compiler.ops.add import Add
from pulsarray.compiler.ops.clip import Clip
from pulsarray.compiler.ops.divide import Divide
from pulsarray.compiler.ops.multiply import Multiply
from pulsarray.compiler.ops.sigmoid import Sigmoid
from pulsarray.compiler.ops.sign import Absolute
from pulsarray.compiler.ops.tanh import Tanh
from pulsarray.compiler.passes.curves import Curve
from pulsarray.compiler.passes.pipeline import INFERENCE, passed, quantize_graph, up_to
from pulsarray.compiler.reference.run import run_outputs
from pulsarray.config import PRESETS
from tests.compiler.codes import codes_of, host_codes, result_of

RNG = np.random.default_rng(2)
SHAPE = (4, 5, 6)
DATA = RNG.normal(0, 2, (20, *SHAPE))


class Spelled(Draft):
    """Operators on x, by the titles of Python's."""

    def __init__(self) -> None:
        super().__init__("spelled", [network_input("x", SHAPE)])

    def __call__(
        self, op: Add | Multiply | Divide | Clip | Sigmoid | Tanh | Absolute, *of: str | float
    ) -> str:
        names = [n if isinstance(n, str) else self.hold(constant(f"c{n}", np.array(n))) for n in of]
        name = self.fresh("v")
        return self.emit(Node(name, op, tuple(names), name)).name


def hard_swish(put: Spelled, x: str) -> str:
    return put(Divide(), put(Multiply(), x, put(Clip(0.0, 6.0), put(Add(), x, 3.0))), 6.0)


def silu(put: Spelled, x: str) -> str:
    return put(Multiply(), put(Sigmoid(), put(Multiply(), x, 1.5)), x)


def gelu(put: Spelled, x: str) -> str:
    cubic = put(Multiply(), put(Multiply(), x, x), x)
    inner = put(Multiply(), put(Add(), x, put(Multiply(), cubic, 0.044715)), 0.7978845608)
    return put(Multiply(), put(Multiply(), x, 0.5), put(Add(), put(Tanh(), inner), 1.0))


def softsign(put: Spelled, x: str) -> str:
    return put(Divide(), x, put(Add(), put(Absolute(), x), 1.0))


FUNCTIONS = pytest.mark.parametrize("spell", [hard_swish, silu, gelu, softsign])


def curves(graph: Graph) -> list[Node]:
    return [node for node in graph.nodes if isinstance(node.op, Curve)]


def folded(graph: Graph) -> Graph:
    return passed(graph, up_to(INFERENCE, "norms"))


@FUNCTIONS
def test_a_function_is_one_table(spell: Callable[[Spelled, str], str]) -> None:
    put = Spelled()
    graph = put.graph((spell(put, "x"),))
    made = folded(graph)
    assert [type(node.op) for node in made.nodes] == [Curve]
    (wanted,), (got,) = (run_outputs(g, DATA).values() for g in (graph, made))
    np.testing.assert_allclose(got, wanted, rtol=1e-12, atol=1e-12)
    quantized = quantize_graph(graph, DATA, PRESETS["small"])
    assert len(quantized.nodes) == 1
    codes = codes_of(quantized, host_codes(quantized, DATA))
    x = quantized.values["x"].codes
    rounded = run_outputs(graph, x.decode(x.encode(DATA)))[graph.outputs[0]]
    error = result_of(quantized).decode(codes) - rounded.reshape(codes.shape)
    assert abs(error).max() < result_of(quantized).scale  # Its argument and itself are rounded.


def test_what_others_read_stays() -> None:
    put = Spelled()
    gate = put(Sigmoid(), "x")
    graph = put.graph((put(Multiply(), "x", gate), gate))
    made = folded(graph)
    assert [type(node.op) for node in made.nodes] == [Sigmoid, Curve]
    wanted, got = run_outputs(graph, DATA), run_outputs(made, DATA)
    for name in graph.outputs:
        np.testing.assert_allclose(got[name], wanted[name], rtol=1e-12)


def test_it_joins_the_product_before_it() -> None:
    put = Builder("net", SHAPE)
    put.convolution(RNG.normal(0, 0.3, (3, 3, 6, 6)), padding=1, name="c")
    put.sigmoid(name="gate").multiply("c").global_average_pool()
    kinds = [node.kind for node in quantize_graph(put.build(), DATA, PRESETS["small"]).nodes]
    assert kinds[0] == "conv+curve"


@pytest.mark.parametrize("other", ["channels", "rounding", "two values"])
def test_what_is_no_function_of_one_value_stays(other: str) -> None:
    put = Spelled()
    if other == "channels":  # Another factor for each is no function of an element.
        row = put.hold(constant("row", RNG.uniform(1, 2, 6)))
        graph = put.graph((put(Multiply(), "x", put(Sigmoid(), put(Multiply(), "x", row))),))
    elif other == "rounding":
        graph = put.graph((put(Multiply(), "x", put(Clip(), put(Sigmoid(), "x"))),))
    else:
        draft = Spelled()
        draft.values["z"] = network_input("z", SHAPE)
        graph = draft.graph((draft(Multiply(), "z", draft(Sigmoid(), "x")),))
    assert not curves(folded(graph))
