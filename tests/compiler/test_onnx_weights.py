"""Constants of every form that ONNX files have them in, and branches that they choose."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from pulsarray.compiler.importers.onnx.importer import import_onnx, import_onnx_any
from pulsarray.compiler.interpreter import run_float
from pulsarray.errors import InputError
from tests.compiler.onnx_files import model, node, write

RNG = np.random.default_rng(3)
DATA = RNG.normal(size=(4, 6)).astype(np.float32)
WEIGHT = RNG.normal(size=(6, 5)).astype(np.float32)
PRODUCT = node("MatMul", ["x", "w"])


def branch(name: str, nodes: list[onnx.NodeProto], result: str) -> onnx.GraphProto:
    value = helper.make_tensor_value_info(result, TensorProto.FLOAT, None)
    weight = numpy_helper.from_array(np.float32(2.0), f"{name} factor")
    return helper.make_graph(nodes, name, [], [value], [weight])


@pytest.mark.parametrize("taken", [True, False])
def test_a_constant_takes_a_branch(tmp_path: Path, taken: bool) -> None:
    first = branch("one", [node("Mul", ["a", "one factor"], "t")], "t")
    second = branch("two", [node("Add", ["a", "two factor"], "e")], "e")
    nodes = [
        node("MatMul", ["x", "w"], "a"),
        node("Neg", ["a"], "n"),
        node("If", ["c"], "b", then_branch=first, else_branch=second),
        node("Add", ["b", "n"]),
    ]
    made = model(nodes, {"w": WEIGHT, "c": np.array(taken)}, ("N", 6))
    product = DATA @ WEIGHT
    wanted = (product * 2.0 if taken else product + 2.0) - product
    graph = import_onnx(write(tmp_path, made))
    np.testing.assert_allclose(run_float(graph, DATA), wanted, rtol=1e-5, atol=1e-5)


def test_a_branch_that_the_input_takes_is_refused(tmp_path: Path) -> None:
    body = branch("one", [node("Relu", ["x"], "t")], "t")
    nodes = [
        node("ReduceMax", ["x"], "m", axes=[1], keepdims=0),
        node("Greater", ["m", "zero"], "g"),
        node("If", ["g"], then_branch=body, else_branch=body),
    ]
    made = model(nodes, {"zero": np.float32(0.0)}, ("N", 6))
    with pytest.raises(
        InputError, match=r"operators: If whose condition depends on the input .* \(node If_y\)$"
    ):
        import_onnx(write(tmp_path, made))


@pytest.mark.parametrize("linear", [True, False])
def test_sparse_weights(tmp_path: Path, linear: bool) -> None:
    dense = np.where(RNG.integers(0, 2, WEIGHT.shape), WEIGHT, np.float32(0.0))
    places = np.flatnonzero(dense) if linear else np.argwhere(dense)
    values = numpy_helper.from_array(dense[dense != 0.0], "w")
    indices = numpy_helper.from_array(places.astype(np.int64), "places")
    made = model([PRODUCT], {}, ("N", 6))
    made.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, dense.shape))
    graph = import_onnx(write(tmp_path, made))
    np.testing.assert_allclose(run_float(graph, DATA), DATA @ dense, rtol=1e-5, atol=1e-5)


def test_sparse_weights_without_bounds(tmp_path: Path) -> None:
    made = model([PRODUCT], {}, ("N", 6))
    values = numpy_helper.from_array(np.ones(1, np.float32), "w")
    indices = numpy_helper.from_array(np.zeros(1, np.int64), "places")
    sparse = helper.make_sparse_tensor(values, indices, (1 << 20, 1 << 20))
    made.graph.sparse_initializer.append(sparse)
    with pytest.raises(InputError, match=r"sparse initializer w: a constant of .* too large"):
        import_onnx(write(tmp_path, made))


@pytest.mark.parametrize("kind", [TensorProto.INT4, TensorProto.UINT4])
def test_weights_of_four_bits(tmp_path: Path, kind: int) -> None:
    """In the QDQ form, as a float network and as a quantized one reads them."""
    low = -8 if kind == TensorProto.INT4 else 0
    codes = RNG.integers(low, low + 16, WEIGHT.shape)
    zero = 0 if kind == TensorProto.INT4 else 8
    nodes = [
        node("QuantizeLinear", ["x", "s", "z"], "q"),
        node("DequantizeLinear", ["q", "s", "z"], "d"),
        node("DequantizeLinear", ["w", "t", "u"], "v"),
        node("MatMul", ["d", "v"], "p"),
        node("QuantizeLinear", ["p", "s", "z"], "r"),
        node("DequantizeLinear", ["r", "s", "z"]),
    ]
    constants = {"s": np.float32(0.05), "z": np.int8(0), "t": np.float32(0.25)}
    made = model(nodes, constants, ("N", 6), opset=21)
    made.graph.initializer.append(helper.make_tensor("w", kind, codes.shape, codes.reshape(-1)))
    made.graph.initializer.append(helper.make_tensor("u", kind, (), [zero]))
    graph = import_onnx_any(write(tmp_path, made))
    assert graph.is_quantized
    (weight,) = (v.array for v in graph.constants if v.array.ndim == 4)
    np.testing.assert_array_equal(weight.reshape(WEIGHT.shape), codes - zero)
