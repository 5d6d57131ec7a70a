"""ONNX files, right and wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from pulsarray import compiler
from pulsarray.compiler.importers.onnx.importer import import_onnx
from pulsarray.compiler.interpreter import run_float
from pulsarray.compiler.ir.show import show
from pulsarray.config import PRESETS
from pulsarray.errors import InputError
from tests.compiler.onnx_files import model, node, write

RNG = np.random.default_rng(0)
W, B = RNG.normal(size=(6, 4)).astype(np.float32), RNG.normal(size=4).astype(np.float32)


def save(
    path: Path,
    nodes: list[onnx.NodeProto],
    constants: dict[str, np.ndarray],
    shape: tuple[int | str, ...] = ("batch", 6),
    outputs: tuple[str, ...] = ("y",),
    element: int = TensorProto.FLOAT,
) -> Path:
    return write(path, model(nodes, constants, shape, outputs=outputs, element=element))


def check(file: Path, wanted: np.ndarray, inputs: np.ndarray) -> None:
    np.testing.assert_allclose(run_float(import_onnx(file), inputs), wanted, rtol=1e-5, atol=1e-6)


X = RNG.normal(size=(5, 6))


def test_gemm_with_everything(tmp_path: Path) -> None:
    nodes = [node("Gemm", ["x", "w", "b"], transB=1, alpha=2.0, beta=0.5)]
    check(save(tmp_path, nodes, {"w": W.T, "b": B}), 2 * X @ W + 0.5 * B, X)


def test_matmul_add_either_way(tmp_path: Path) -> None:
    nodes = [node("MatMul", ["x", "w"], "a"), node("Add", ["b", "a"])]
    file = save(tmp_path, nodes, {"w": W, "b": B.reshape(1, 4)})
    check(file, X @ W + B, X)
    assert len(import_onnx(file).nodes) == 1


def test_scalar_bias_and_add_without_product(tmp_path: Path) -> None:
    nodes = [node("Add", ["x", "c"], "a"), node("MatMul", ["a", "w"])]
    check(save(tmp_path, nodes, {"w": W, "c": np.float32(3)}), (X + 3) @ W, X)


@pytest.mark.parametrize(
    ("op", "function"),
    [
        ("Relu", lambda v: np.maximum(v, 0)),
        ("Sigmoid", lambda v: 1 / (1 + np.exp(-v))),
        ("Tanh", np.tanh),
        ("Identity", lambda v: v),
        ("Softmax", lambda v: np.exp(v) / np.exp(v).sum(axis=1, keepdims=True)),
    ],
)
def test_functions(tmp_path: Path, op: str, function: object) -> None:
    nodes = [node("MatMul", ["x", "w"], "a"), node(op, ["a"])]
    check(save(tmp_path, nodes, {"w": W}), function(X @ W), X)  # type: ignore[operator]


def test_clip_limits_from_constants(tmp_path: Path) -> None:
    low = node("Constant", [], "low", value_float=-0.5)
    nodes = [low, node("MatMul", ["x", "w"], "a"), node("Clip", ["a", "low", "high"])]
    check(save(tmp_path, nodes, {"w": W, "high": np.float32(0.5)}), np.clip(X @ W, -0.5, 0.5), X)


@pytest.mark.parametrize("shape", [[-1, 6], [0, 6], [1, -1], [0, -1]])
def test_reshape_as_flatten(tmp_path: Path, shape: list[int]) -> None:
    nodes = [node("Reshape", ["x", "s"], "a"), node("MatMul", ["a", "w"])]
    file = save(tmp_path, nodes, {"w": W, "s": np.array(shape)}, ("n", 2, 3))
    check(file, X @ W, X.reshape(5, 2, 3))


def test_flatten_and_fixed_batch(tmp_path: Path) -> None:
    nodes = [node("Flatten", ["x"], "a"), node("MatMul", ["a", "w"])]
    check(save(tmp_path, nodes, {"w": W}, (1, 1, 2, 3)), X @ W, X.reshape(5, 1, 2, 3))


def test_unsupported_operators_are_all_named(tmp_path: Path) -> None:
    nodes = [node("Det", ["x"], "a"), node("Relu", ["a"], "b"), node("Unique", ["b"])]
    text = r"unsupported operators: Det \(node Det_a\), Unique \(node Unique_y\)$"
    with pytest.raises(InputError, match=text):
        import_onnx(save(tmp_path, nodes, {"w": W}))


def test_what_is_lacking_is_said_once(tmp_path: Path) -> None:
    nodes = [
        node("Unique", ["x"], "e0"),
        *(node("Unique", [f"e{k}"], f"e{k + 1}") for k in range(40)),
    ]
    nodes += [
        node("EyeLike", ["e40"], "g"),
        node("EyeLike", ["i"], "h"),
        node("Det", ["g"]),
    ]
    text = (
        r"operators: Unique \(node Unique_e0, node Unique_e1 and 39 more\), "
        r"EyeLike of values that depend on the input \(node EyeLike_g\), Det \(node Det_y\)$"
    )
    with pytest.raises(InputError, match=text):
        import_onnx(save(tmp_path, nodes, {"i": np.array([1, 0])}))


def test_bodies_are_looked_into(tmp_path: Path) -> None:
    result = helper.make_tensor_value_info("b", TensorProto.FLOAT, None)
    body = helper.make_graph([node("Det", ["x"], "b")], "body", [], [result])
    nodes = [node("If", ["c"], then_branch=body, else_branch=body)]
    text = r"operators: Det \(node If_y, then_branch node Det_b\)$"
    with pytest.raises(InputError, match=text):
        import_onnx(save(tmp_path, nodes, {"c": np.array(True)}))


def test_functions_of_the_file_are_expanded(tmp_path: Path) -> None:
    made = model([helper.make_node("Twice", ["x"], ["y"], "t", domain="own")], {}, ("n", 6))
    local = helper.make_opsetid("own", 1)
    steps = [helper.make_node("Add", ["a", "a"], ["s"]), helper.make_node("Relu", ["s"], ["b"])]
    function = helper.make_function(
        "own", "Twice", ["a"], ["b"], steps, [helper.make_opsetid("", 17)]
    )
    made.functions.append(function)
    made.opset_import.append(local)
    check(write(tmp_path, made), np.maximum(2 * X, 0), X)


def test_unknown_domain_is_unsupported(tmp_path: Path) -> None:
    odd = helper.make_node("Relu", ["x"], ["y"], name="r", domain="com.example")
    with pytest.raises(InputError, match=r"unsupported operators: com.example.Relu \(node r"):
        import_onnx(save(tmp_path, [odd], {}))


@pytest.mark.parametrize(
    ("nodes", "constants", "text"),
    [
        ([node("Gemm", ["x", "w"], transA=1)], {"w": W}, "transA would mix the samples"),
        ([node("MatMul", ["x", "x"])], {}, r"node MatMul_y: two values must have shape \(N,"),
        ([node("MatMul", ["w", "x"])], {"w": W}, "must have the constant as its second operand"),
        ([node("MatMul", ["x", "w"])], {"w": W[:5]}, r"input must have shape \(5,\), not \(6,\)"),
        ([node("Gemm", ["x", "w", "b"])], {"w": W, "b": B[:3]}, "bias must be one value a column"),
        ([node("Flatten", ["x"], axis=0)], {}, "Flatten must keep the batch"),
        ([node("Softmax", ["x"], axis=0)], {}, "Softmax must be along an axis from 1 to 1, not 0"),
        (
            [node("Reshape", ["x", "s"])],
            {"s": np.array([6, -1, 1])},
            r"\[6\] of a sample cannot become \[6, -1, 1\]",
        ),
        ([node("Identity", ["x"])], {}, "no operator to compile"),
        ([node("MatMul", ["x", "w"])], {}, "node MatMul_y: MatMul reads 'w', which is missing"),
        ([node("MatMul", ["x", "w"])], {"w": W[0]}, r"weight 'w' must be a matrix, not \(4,\)"),
        ([node("MatMul", ["x", "w"])], {"w": W + 1j}, "or integers of 8 to 64 bits, not complex64"),
        ([node("MatMul", ["x", "w"])], {"w": W * np.nan}, r"MatMul_y\.weight: must be finite"),
        (
            [node("Gemm", ["x", "w", "b"])],
            {"w": W, "b": B * np.inf},
            r"Gemm_y\.bias: must be finite",
        ),
        (
            [node("Dropout", ["x", "r", "t"])],
            {"r": np.float32(0.5), "t": np.array(True)},
            "must be in inference mode, not training mode",
        ),
        ([node("Clip", ["x", "l"])], {"l": B}, r"limit 'l' must be one number, not \(4,\)"),
    ],
)
def test_import_wrong(
    tmp_path: Path, nodes: list[onnx.NodeProto], constants: dict[str, np.ndarray], text: str
) -> None:
    with pytest.raises(InputError, match=text):
        import_onnx(save(tmp_path, nodes, constants))


def test_two_outputs(tmp_path: Path) -> None:
    nodes = [node("Relu", ["x"], "a"), node("Tanh", ["a"])]
    graph = import_onnx(save(tmp_path, nodes, {}, outputs=("y", "a")))
    assert (graph.outputs, [n.output for n in graph.nodes]) == (("y", "a"), ["a", "y"])


def test_input_wrong(tmp_path: Path) -> None:
    nodes = [node("Relu", ["x"])]
    with pytest.raises(InputError, match="needs a batch dimension"):
        import_onnx(save(tmp_path, nodes, {}, ("n", "m")))
    with pytest.raises(InputError, match="Relu of 'x' is not possible; whole numbers"):
        import_onnx(save(tmp_path, nodes, {}, element=TensorProto.INT64))
    with pytest.raises(InputError, match="input x must be of numbers, not STRING"):
        import_onnx(save(tmp_path, nodes, {}, element=TensorProto.STRING))


def test_file_wrong(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.onnx: cannot read: No such file"):
        import_onnx(tmp_path / "none.onnx")
    (tmp_path / "bad.onnx").write_bytes(b"not a protobuf at all")
    with pytest.raises(InputError, match=r"bad\.onnx: not a valid ONNX file"):
        import_onnx(tmp_path / "bad.onnx")
    wrong = save(tmp_path, [helper.make_node("Add", ["x"], ["y"], name="a")], {})
    with pytest.raises(InputError, match=r"not a valid ONNX file: Node\(a\) .*max=2\]\.$"):
        import_onnx(wrong)
    (tmp_path / "empty.onnx").write_bytes(b"")
    with pytest.raises(InputError, match=r"empty\.onnx: not a valid ONNX file"):
        import_onnx(tmp_path / "empty.onnx")


def test_softmax_in_the_middle(tmp_path: Path) -> None:
    graph = import_onnx(save(tmp_path, [node("Softmax", ["x"], "a"), node("Relu", ["a"])], {}))
    samples = np.ones((2, *graph.input.shape))
    np.testing.assert_allclose(run_float(graph, samples).sum(axis=1), 1.0)
    program = compiler.compile(graph, PRESETS["small"], calibration=samples)
    assert not program.with_role("output")[0].after


def test_a_path_as_text(tmp_path: Path) -> None:
    file = save(tmp_path, [node("MatMul", ["x", "w"])], {"w": W})
    assert show(import_onnx(str(file))) == show(import_onnx(file))
    with pytest.raises(InputError, match="file: must be a path, not None"):
        import_onnx(None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("element_type", "text"),
    [
        ({"shape": ("6",)}, "shape: must be an integer, not '6'"),
        ({"shape": (6.5,)}, "shape: must be an integer, not 6.5"),
        ({"shape": 7}, r"shape \(7,\) does not fit \(6\) of the file"),
        ({"random_weights": -1}, "random_weights: must be at least 0, not -1"),
        ({"random_weights": "a"}, "random_weights: must be an integer, not 'a'"),
    ],
)
def test_other_types_are_refused(tmp_path: Path, element_type: dict[str, Any], text: str) -> None:
    file = save(tmp_path, [node("MatMul", ["x", "w"])], {"w": W})
    with pytest.raises(InputError, match=text):
        import_onnx(file, **element_type)
