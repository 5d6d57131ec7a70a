"""Definitions of operators agree with onnxruntime's, on values of any rank."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from onnx import NodeProto, TensorProto, helper

from pulsarray.compiler.ir.operator import Operator
from pulsarray.compiler.ir.value import Array, Shape
from pulsarray.compiler.ops.add import Add
from pulsarray.compiler.ops.divide import Divide
from pulsarray.compiler.ops.exp import Exp
from pulsarray.compiler.ops.gelu import Gelu
from pulsarray.compiler.ops.layer_norm import LayerNorm
from pulsarray.compiler.ops.layout import Reshape, Transpose
from pulsarray.compiler.ops.matmul import MatMul
from pulsarray.compiler.ops.maximum import Maximum
from pulsarray.compiler.ops.minimum import Minimum
from pulsarray.compiler.ops.multiply import Multiply
from pulsarray.compiler.ops.reciprocal import Reciprocal
from pulsarray.compiler.ops.reduction import ReduceMax, ReduceMean, ReduceSum
from pulsarray.compiler.ops.silu import Silu
from pulsarray.compiler.ops.softmax import Softmax
from pulsarray.compiler.ops.subtract import Subtract

BATCH = 3
OPSET = 20


def node(kind: str, *inputs: str, output: str = "y", **attributes: object) -> NodeProto:
    return helper.make_node(kind, [*inputs], [output], **attributes)


def judged(nodes: list[NodeProto], feeds: dict[str, Array]) -> Array:
    """The result ``y`` of a network in float32, as onnxruntime has it."""
    declared = [
        helper.make_tensor_value_info(name, kind, x.shape)
        for name, x in feeds.items()
        for kind in [TensorProto.INT64 if x.dtype == np.int64 else TensorProto.FLOAT]
    ]
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "net", declared, [result])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
    made.ir_version = 9
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(made.SerializeToString(), options)
    return np.asarray(session.run(None, feeds)[0])


SWISH = [node("Sigmoid", "a", output="s"), node("Mul", "a", "s")]
NORM = [node("LayerNormalization", "a", "b", "c", epsilon=1e-3)]
TURNED = [
    node("Transpose", "a", output="at", perm=[0, 1, 3, 2]),
    node("Transpose", "b", output="bt", perm=[0, 1, 3, 2]),
    node("MatMul", "at", "bt"),
]


@pytest.mark.parametrize(
    ("op", "shapes", "nodes"),
    [
        (Add(), [(2, 3, 4), (2, 1, 4)], [node("Add", "a", "b")]),
        (Subtract(), [(2, 1, 4), (2, 3, 1)], [node("Sub", "a", "b")]),
        (Multiply(), [(5,), (1,)], [node("Mul", "a", "b")]),
        (Divide(), [(2, 3), (1, 3)], [node("Div", "a", "b")]),
        (Minimum(), [(2, 3), (2, 3)], [node("Min", "a", "b")]),
        (Maximum(), [(2, 3), (2, 1)], [node("Max", "a", "b")]),
        (MatMul(), [(4, 5), (5, 3)], [node("MatMul", "a", "b")]),
        (MatMul(True, True), [(2, 5, 4), (2, 3, 5)], TURNED),
        (Exp(), [(3, 4)], [node("Exp", "a")]),
        (Reciprocal(), [(3, 4)], [node("Reciprocal", "a")]),
        (Gelu(), [(3, 7)], [node("Gelu", "a")]),
        (Gelu(True), [(3, 7)], [node("Gelu", "a", approximate="tanh")]),
        (Silu(), [(2, 3, 4)], SWISH),
        (Softmax(), [(2, 3, 4)], [node("Softmax", "a", axis=-1)]),
        (LayerNorm(1e-3), [(6, 8), (8,), (8,)], NORM),
        (ReduceSum((-1, -3)), [(2, 3, 4)], [node("ReduceSum", "a", "axes")]),
        (ReduceMean((-2,), False), [(2, 3, 4)], [node("ReduceMean", "a", "axes", keepdims=0)]),
        (ReduceMax((-1,)), [(2, 3, 4)], [node("ReduceMax", "a", "axes")]),
        (Reshape((6, 4)), [(2, 3, 4)], [node("Reshape", "a", "sizes")]),
        (Transpose((2, 0, 1)), [(2, 3, 4)], [node("Transpose", "a", perm=[0, 3, 1, 2])]),
    ],
    ids=lambda value: value.title if isinstance(value, Operator) else "",
)  # fmt: skip
def test_definition(op: Operator, shapes: list[Shape], nodes: list[NodeProto]) -> None:
    rng = np.random.default_rng(1)
    arrays = []
    for place, shape in enumerate(shapes):
        whole = shape if place in op.constants else (BATCH, *shape)
        x = 2.0 * rng.normal(size=whole)
        arrays.append((abs(x) + 0.1 if place in op.positive else x).astype(np.float32))
    feeds = dict(zip("abc", arrays, strict=False))
    axes = getattr(op, "axes", ())
    asked = {"axes": np.array(axes, np.int64), "sizes": np.array([BATCH, 6, 4], np.int64)}
    feeds |= {name: x for name, x in asked.items() if any(name in n.input for n in nodes)}
    np.testing.assert_allclose(op.real(*arrays), judged(nodes, feeds), rtol=2e-5, atol=2e-6)
