"""ONNX operators of transformers: imported they compute what ONNX Runtime does, or are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import NodeProto

from pulsarray.compiler.importers.onnx.importer import import_onnx
from pulsarray.compiler.interpreter import run_float
from pulsarray.errors import InputError
from tests.compiler.onnx_files import model, node, write
from tests.compiler.test_onnx_float_graphs import runtime

RNG = np.random.default_rng(7)
TOKENS, WIDTH = 5, 6


def floats(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


def judged(
    path: Path,
    nodes: list[NodeProto],
    constants: dict[str, np.ndarray],
    shape: tuple[int, ...] = (TOKENS, WIDTH),
    opset: int = 20,
) -> list[str]:
    """Compare with ONNX Runtime; titles of the operators that were made."""
    made = model(nodes, constants, ("N", *shape), opset=opset)
    del made.graph.output[0].type.tensor_type.shape.dim[2:]
    made.graph.output[0].type.tensor_type.shape.dim.extend(
        onnx.TensorShapeProto.Dimension(dim_param=f"d{k}") for k in range(len(shape) - 1)
    )
    inputs = floats(2, *shape)
    graph = import_onnx(write(path, made))
    np.testing.assert_allclose(run_float(graph, inputs), runtime(made, inputs), rtol=0, atol=1e-5)
    return [node.op.title for node in graph.nodes]


@pytest.mark.parametrize("form", ["none", "tanh"])
def test_gelu(tmp_path: Path, form: str) -> None:
    assert judged(tmp_path, [node("Gelu", ["x"], approximate=form)], {}) == ["gelu"]


@pytest.mark.parametrize("inputs", [["x", "s"], ["s", "x"]])
def test_a_value_times_its_sigmoid_is_silu(tmp_path: Path, inputs: list[str]) -> None:
    nodes = [node("Sigmoid", ["x"], "s"), node("Mul", inputs)]
    assert judged(tmp_path, nodes, {}) == ["silu"]


def test_a_value_times_the_sigmoid_of_another(tmp_path: Path) -> None:
    nodes = [node("Tanh", ["x"], "t"), node("Sigmoid", ["t"], "s"), node("Mul", ["x", "s"])]
    assert judged(tmp_path, nodes, {}) == ["tanh", "sigmoid", "multiply"]


@pytest.mark.parametrize("names", [["scale"], ["scale", "shift"]])
def test_layer_normalization(tmp_path: Path, names: list[str]) -> None:
    constants = {name: floats(WIDTH) for name in names}
    nodes = [node("LayerNormalization", ["x", *names], epsilon=0.01)]
    assert judged(tmp_path, nodes, constants) == ["layer_norm"]


def test_layer_normalization_of_a_map_transposed_and_back(tmp_path: Path) -> None:
    nodes = [
        node("Conv", ["x", "w"], "c"),
        node("Transpose", ["c"], "t", perm=[0, 2, 3, 1]),
        node("LayerNormalization", ["t", "scale"], "n", axis=3),
        node("Transpose", ["n"], perm=[0, 3, 1, 2]),
    ]
    constants = {"w": floats(4, 3, 1, 1), "scale": floats(4)}
    assert judged(tmp_path, nodes, constants, (3, 5, 6)) == ["convolution", "layer_norm"]


def test_attention(tmp_path: Path) -> None:
    nodes = [
        *(node("MatMul", ["x", f"w{name}"], name) for name in "qkv"),
        node("Transpose", ["k"], "kt", perm=[0, 2, 1]),
        node("MatMul", ["q", "kt"], "scores"),
        node("Softmax", ["scores"], "shares", axis=-1),
        node("MatMul", ["shares", "v"], "mixed"),
        node("Add", ["mixed", "x"]),
    ]
    constants = {f"w{name}": floats(WIDTH, WIDTH) for name in "qkv"}
    titles = judged(tmp_path, nodes, constants)
    assert titles == ["convolution"] * 3 + ["matmul", "softmax", "matmul", "add"]


def test_a_product_of_what_reshape_has_mixed(tmp_path: Path) -> None:
    nodes = [
        node("Transpose", ["x"], "t", perm=[0, 2, 1]),
        node("Relu", ["t"], "r"),
        node("Reshape", ["r", "s"], "m"),
        node("MatMul", ["t", "m"]),
    ]
    judged(tmp_path, nodes, {"s": np.array([0, 5, 6])})


def test_products_of_as_many_matrices(tmp_path: Path) -> None:
    nodes = [
        node("Transpose", ["x"], "t", perm=[0, 1, 3, 2]),
        node("MatMul", ["t", "x"]),
    ]
    assert judged(tmp_path, nodes, {}, (3, 4, 5)) == ["matmul"]


@pytest.mark.parametrize(
    ("nodes", "constants", "message"),
    [
        (
            [node("LayerNormalization", ["x", "scale"], axis=0)],
            {"scale": floats(WIDTH)},
            "must be along axes from 1 to 2 on, not 0",
        ),
        (
            [node("LayerNormalization", ["x", "scale"])],
            {"scale": floats(TOKENS)},
            r"scale and bias must fit \(6,\), not \(5,\)",
        ),
        (
            [node("MatMul", ["x", "x"])],
            {},
            "rows of 6 and columns of 5 elements have no product",
        ),
        (
            [node("Flatten", ["x"], "f"), node("Relu", ["f"], "r"), node("MatMul", ["r", "f"])],
            {},
            r"must have shape \(N, rows, columns\), or one axis more, not",
        ),
    ],
)
def test_what_is_refused(
    tmp_path: Path, nodes: list[NodeProto], constants: dict[str, np.ndarray], message: str
) -> None:
    made = model(nodes, constants, ("N", TOKENS, WIDTH), opset=20)
    with pytest.raises(InputError, match=message):
        import_onnx(write(tmp_path, made))
