"""Arithmetic on values in int8: close to real numbers, and on the machine as it is defined."""

from __future__ import annotations

import numpy as np
import pytest

from pulsarray import compiler
from pulsarray.compiler.interpreter import run_float
from pulsarray.compiler.ir.graph import Graph, Node
from pulsarray.compiler.ir.operator import Operator
from pulsarray.compiler.ir.value import Value, constant, network_input, parameter
from pulsarray.compiler.ir.window import Window
from pulsarray.compiler.ops.add import Add
from pulsarray.compiler.ops.concat import Concat
from pulsarray.compiler.ops.convolution import Convolution
from pulsarray.compiler.ops.divide import Divide
from pulsarray.compiler.ops.gelu import Gelu
from pulsarray.compiler.ops.layer_norm import LayerNorm
from pulsarray.compiler.ops.matmul import MatMul
from pulsarray.compiler.ops.multiply import Multiply
from pulsarray.compiler.ops.pooling import AveragePool
from pulsarray.compiler.ops.reduction import ReduceMean, ReduceSum
from pulsarray.compiler.ops.sigmoid import Sigmoid
from pulsarray.compiler.ops.silu import Silu
from pulsarray.compiler.ops.square import Square
from pulsarray.compiler.ops.subtract import Subtract
from pulsarray.compiler.passes.pipeline import folded, quantize_graph
from pulsarray.config import PRESETS, Config
from pulsarray.errors import InputError
from pulsarray.model.functional import execute
from pulsarray.program import pack, unpack
from pulsarray.sim.random.graphs import random_graph_program
from tests.compiler.codes import codes_of, host_codes, result_of

RNG = np.random.default_rng(3)
SHAPE = (3, 4, 6)
CHANNELS = SHAPE[-1]
DATA = RNG.normal(size=(40, *SHAPE))
ROW = RNG.uniform(0.5, 1.5, CHANNELS)
MACHINES = [PRESETS["small"], Config(dim=3, bus_bits=32, vector_multiply=True)]

Step = tuple[Operator, tuple[str, ...]]


def network(*steps: Step, **constants: np.ndarray) -> Graph:
    """A 1 x 1 convolution, then operators that write y0, y1, ...; it writes h."""
    weight = RNG.normal(size=(1, 1, CHANNELS, CHANNELS)) / np.sqrt(CHANNELS)
    values: list[Value] = [network_input("x", SHAPE)]
    values += [parameter("w", weight), parameter("b", RNG.normal(size=CHANNELS))]
    values += [constant(name, data) for name, data in constants.items()]
    nodes = [Node("conv", Convolution(Window((1, 1))), ("x", "w", "b"), "h")]
    nodes += [Node(f"n{k}", op, inputs, f"y{k}") for k, (op, inputs) in enumerate(steps)]
    return Graph("net", values, nodes, (nodes[-1].output,))


NETWORKS = {
    "gelu": network((Gelu(), ("h",))),
    "silu": network((Silu(), ("h",))),
    "a constant for each element is added": network((Add(), ("h", "c")), c=RNG.normal(size=SHAPE)),
    "a constant for each row is a factor": network(
        (Multiply(), ("c", "h")), c=RNG.normal(size=(3, 1, 6))
    ),
    "a constant less a map, and a map less it": network(
        (Subtract(), ("c", "h")), (Subtract(), ("y0", "c")), c=RNG.normal(size=(4, 6))
    ),
    "square": network((Square(), ("x",))),
    "subtract": network((Subtract(), ("x", "h"))),
    "multiply": network((Multiply(), ("x", "h"))),
    "multiply by itself": network((Multiply(), ("h", "h"))),
    "gate": network((Sigmoid(), ("h",)), (Multiply(), ("y0", "x"))),
    "constants": network(
        (Multiply(), ("h", "row")), (Add(), ("row", "y0")), (Subtract(), ("one", "y1")), row=ROW,
        one=np.array([1.0]),
    ),
    "divide by a constant": network((Divide(), ("x", "row")), row=ROW),
    "mean of channels": network((ReduceMean(), ("h",)), (Subtract(), ("h", "y0"))),
    "mean of all": network((ReduceMean((-1, -2, -3)), ("h",)), (Multiply(), ("h", "y0"))),
    "mean of a map": network((ReduceMean((-2, -3), False), ("x",)), (Silu(), ("y0",))),
    "sum of rows": network((ReduceSum((-3,)), ("x",)), (Add(), ("y0", "h"))),
    "sum of channels": network((ReduceSum((-1,)), ("x",))),
    "squeeze and excite": network(
        (AveragePool(Window(SHAPE[:2])), ("h",)), (Sigmoid(), ("y0",)), (Multiply(), ("h", "y1"))
    ),
    "matmul": network((MatMul(transpose_b=True), ("h", "x"))),
    "matmul of a transposed map": network((MatMul(transpose_a=True), ("h", "x"))),
    "matmul and a function": network(
        (MatMul(transpose_b=True), ("h", "x")), (Gelu(), ("y0",)), (MatMul(), ("y1", "h"))
    ),
    "layer norm": network(
        (LayerNorm(), ("h", "row", "shift")), (Gelu(), ("y0",)), row=ROW, shift=ROW[::-1] - 1.0
    ),
}  # fmt: skip
CASES = pytest.mark.parametrize("graph", NETWORKS.values(), ids=NETWORKS)


@CASES
def test_folding_changes_no_result(graph: Graph) -> None:
    simple = folded(graph)
    wanted, got = run_float(graph, DATA), run_float(simple, DATA)
    np.testing.assert_allclose(got.reshape(wanted.shape), wanted, rtol=1e-9, atol=1e-12)


@CASES
def test_codes_are_close(graph: Graph) -> None:
    made = quantize_graph(graph, DATA, PRESETS["small"])
    codes = codes_of(made, host_codes(made, DATA))
    wanted = run_float(graph, DATA).reshape(codes.shape)
    error = result_of(made).decode(codes) - wanted
    assert np.sqrt(np.mean(error**2)) < 0.05 * np.sqrt(np.mean(wanted**2))


@CASES
@pytest.mark.parametrize("config", MACHINES, ids=lambda config: f"D{config.dim}")
def test_the_machine_computes_what_is_defined(graph: Graph, config: Config) -> None:
    program = compiler.compile(graph, config, batch=2, calibration=DATA, effort=0)
    made = quantize_graph(graph, DATA, config)
    codes = RNG.integers(-128, 128, (2, *made.input.shape))
    (source,), (result,) = program.with_role("input"), program.with_role("output")
    memory = program.memory.copy()
    rows = codes.reshape(source.rows, source.columns)
    memory[source.address :][: source.bytes(config)] = pack(rows, source, config)
    got = unpack(execute(program, memory), result, config)
    np.testing.assert_array_equal(got.reshape(-1), codes_of(made, codes).reshape(-1))


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (
            network((MatMul(), ("c", "h")), c=RNG.normal(size=(3, 5, 4))),
            "n0: matmul is possible in int8 if its first matrix depends on the input",
        ),
        (
            network((Concat(), ("h", "c")), c=RNG.normal(size=SHAPE)),
            "n0: concat of a constant is not possible in int8",
        ),
        (
            network((ReduceMean((-2,), False), ("h",))),
            r"n0: reduce_mean to shape \(3, 6\) is not possible in int8; keep its axes",
        ),
    ],
)
def test_what_is_refused(graph: Graph, message: str) -> None:
    with pytest.raises(InputError, match=message):
        compiler.compile(graph, PRESETS["small"], calibration=DATA)


@pytest.mark.parametrize("seed", range(30))
def test_random_networks_compute_what_is_defined(seed: int) -> None:
    rng = np.random.default_rng(seed)
    config = Config(dim=int(rng.choice([2, 3, 4])), bus_bits=16)
    made = random_graph_program(rng, config)
    quantized = quantize_graph(made.graph, made.data, config)
    got = unpack(execute(made.program), made.program.with_role("output")[0], config)
    np.testing.assert_array_equal(got.reshape(-1), codes_of(quantized, made.codes).reshape(-1))
