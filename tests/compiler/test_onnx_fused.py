"""Dynamic quantization and fused operators of ONNX Runtime: float networks, as it has them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import NodeProto, helper

import pulsarray as pa
from pulsarray.compiler.importers.onnx.fused import FUSED
from pulsarray.compiler.importers.onnx.importer import import_onnx_any
from pulsarray.compiler.interpreter import run_all
from pulsarray.errors import InputError
from tests.compiler.onnx_files import model, node, write
from tests.compiler.test_files_several_ends import runtime

RNG = np.random.default_rng(11)
ROWS, COLUMNS = 4, 6
Arrays = dict[str, np.ndarray]


def floats(*shape: int) -> np.ndarray:
    return RNG.normal(0, 0.6, shape).astype(np.float32)


def fused(
    kind: str, inputs: list[str], outputs: tuple[str, ...] = ("y",), **initializers: object
) -> NodeProto:
    domain = "" if kind.startswith("Simplified") else "com.microsoft"
    return helper.make_node(kind, inputs, outputs, f"n_{kind}", domain=domain, **initializers)


SCALE, SHIFT = floats(COLUMNS), floats(COLUMNS)
IMAGES = (3, 4, 5)
CASES: dict[str, tuple[NodeProto, Arrays, tuple[int, ...]]] = {
    "gelu": (fused("Gelu", ["x"]), {}, (ROWS, COLUMNS)),
    "bias and gelu": (fused("BiasGelu", ["x", "b"]), {"b": SHIFT}, (ROWS, COLUMNS)),
    "fast gelu": (fused("FastGelu", ["x", "b"]), {"b": SHIFT}, (ROWS, COLUMNS)),
    "quick gelu": (fused("QuickGelu", ["x"], alpha=1.5), {}, (ROWS, COLUMNS)),
    "product with a turned matrix": (
        fused("FusedMatMul", ["x", "w"], transB=1, alpha=0.5),
        {"w": floats(5, COLUMNS)}, (ROWS, COLUMNS),
    ),
    "product of a value with itself turned": (
        fused("FusedMatMul", ["x", "x"], transB=1, alpha=0.25), {}, (ROWS, COLUMNS)
    ),
    "convolution, sum and function": (
        fused("FusedConv", ["x", "w", "b", "x"], activation="LeakyRelu", activation_params=[0.2]),
        {"w": floats(3, 3, 1, 1), "b": floats(3)}, IMAGES,
    ),
    "normalization of a sum": (
        fused("SkipLayerNormalization", ["x", "x", "s", "t", "b"], ("y", "", "", "sum")),
        {"s": SCALE, "t": SHIFT, "b": floats(COLUMNS)}, (ROWS, COLUMNS),
    ),
    "root-mean-square normalization of a sum": (
        fused("SkipSimplifiedLayerNormalization", ["x", "x", "s"]), {"s": SCALE}, (ROWS, COLUMNS)
    ),
    "attention": (
        fused("Attention", ["x", "w", "b"], num_heads=2),
        {"w": floats(COLUMNS, 3 * COLUMNS), "b": floats(3 * COLUMNS)}, (ROWS, COLUMNS),
    ),
}  # fmt: skip


def compared(path: Path, made: onnx.ModelProto, shape: tuple[int, ...], tolerance: float) -> None:
    x = floats(2, *shape)
    graph = import_onnx_any(write(path, made))
    got = run_all(graph, {"x": x})
    for name, wanted in runtime(made, {"x": x}).items():
        np.testing.assert_allclose(got[name].reshape(wanted.shape), wanted, rtol=0, atol=tolerance)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_fused_operators(tmp_path: Path, case: tuple[NodeProto, Arrays, tuple[int, ...]]) -> None:
    operator, constants, shape = case
    outputs = [name for name in operator.output if name]
    made = model([operator], constants, ("N", *shape), outputs=outputs, opset=20)
    for output in made.graph.output:
        del output.type.tensor_type.shape.dim[:]
        for _ in range(len(shape) + 1):
            output.type.tensor_type.shape.dim.add()
    compared(tmp_path, made, shape, 2e-5)


def test_every_fused_operator_is_compared() -> None:
    kinds = {node.op_type for node, _, _ in CASES.values()}
    assert kinds == {kind.rpartition(".")[2] for kind in FUSED} - {"TransposeMatMul"}


@pytest.mark.parametrize(
    ("operator", "text"),
    [
        (fused("FusedMatMul", ["x", "x"], transBatchA=1), "FusedMatMul with transBatchA is not"),
        (fused("Attention", ["x", "w"], num_heads=5), "18 columns are not those of 5 heads"),
        (fused("Attention", ["x", "w"], num_heads=2, unidirectional=1), "unidirectional or qkv"),
        (fused("Gelu", ["x", "w"]), "com.microsoft.Gelu cannot have 2 inputs"),
    ],
)
def test_what_is_refused(tmp_path: Path, operator: NodeProto, text: str) -> None:
    made = model([operator], {"w": floats(COLUMNS, 18)}, ("N", ROWS, COLUMNS), opset=20)
    with pytest.raises(InputError, match=text):
        import_onnx_any(write(tmp_path, made))


def float_network() -> onnx.ModelProto:
    nodes = [
        node("Conv", ["x", "w", "b"], "c", pads=[1, 1, 1, 1]),
        node("Relu", ["c"], "r"),
        node("GlobalAveragePool", ["r"], "g"),
        node("Flatten", ["g"], "f"),
        node("Gemm", ["f", "v", "d"]),
    ]
    constants = {"w": floats(8, 3, 3, 3), "b": floats(8), "v": floats(8, 4), "d": floats(4)}
    return model(nodes, constants, ("N", 3, 6, 6))


def quantized(path: Path, made: onnx.ModelProto) -> onnx.ModelProto:
    """As ONNX Runtime quantizes dynamically."""
    tool = pytest.importorskip("onnxruntime.quantization")
    target = path / "dynamic.onnx"
    tool.quantize_dynamic(write(path, made), target, weight_type=tool.QuantType.QUInt8)
    return onnx.load(target)


def test_dynamic_quantization(tmp_path: Path) -> None:
    """Weights are those codes; the rest is exact, where the runtime rounds activations, too."""
    made = float_network()
    dynamic = quantized(tmp_path, made)
    assert {"ConvInteger", "DynamicQuantizeLinear"} <= {node.op_type for node in dynamic.graph.node}
    x = floats(3, 3, 6, 6)
    got = run_all(import_onnx_any(write(tmp_path, dynamic)), {"x": x})["y"]
    exact, rounded = runtime(made, {"x": x})["y"], runtime(dynamic, {"x": x})["y"]
    assert np.abs(got - rounded).max() < 0.02 * np.abs(exact).max()
    assert 0 < np.abs(got - exact).max() < 0.02 * np.abs(exact).max()
    told = pa.inspect(write(tmp_path, dynamic))
    assert "dynamically quantized by 4 operators" in told.to_dict()["form"]


LSTM = {"w": floats(1, 20, 4), "r": floats(1, 20, 5), "c": floats(1, 40)}


def test_dynamic_quantization_of_lstm(tmp_path: Path) -> None:
    """The runtime's own float LSTM of the weights that the codes stand for."""
    codes, real = {}, {}
    for name in ("w", "r"):
        scale, zero = np.float32([0.01]), np.uint8([120])
        code = np.clip(np.round(LSTM[name] / 0.01) + 120, 0, 255).astype(np.uint8)
        codes |= {name: code.swapaxes(1, 2), f"{name}s": scale, f"{name}z": zero}
        real[name] = (code.astype(np.float32) - 120) * scale
    turned = node("Transpose", ["x"], "t", perm=[1, 0, 2])
    ends = [node("Squeeze", ["h", "zero"], "q"), node("Relu", ["q"])]
    inputs = ["t", "w", "r", "c", "", "", "", ""]
    more = {"c": LSTM["c"], "zero": np.array([0])}
    plain = helper.make_node("LSTM", inputs[:4], ["", "h"], "lstm", hidden_size=5)
    wanted = model([turned, plain, *ends], {**real, **more}, ("N", 3, 4))
    inputs += ["ws", "wz", "rs", "rz"]
    dynamic = helper.make_node("DynamicQuantizeLSTM", inputs, ["", "h"], "lstm", hidden_size=5,
                               domain="com.microsoft")  # fmt: skip
    made = model([turned, dynamic, *ends], {**codes, **more}, ("N", 3, 4))
    x = floats(2, 3, 4)
    got = run_all(import_onnx_any(write(tmp_path, made)), {"x": x})["y"]
    np.testing.assert_allclose(got, runtime(wanted, {"x": x})["y"], atol=1e-5)


@pytest.mark.parametrize("bias", [False, True])
def test_products_with_codes(tmp_path: Path, bias: bool) -> None:
    code, scale = RNG.integers(0, 256, (COLUMNS, 3), np.uint8), np.float32(0.02)
    constants = {"w": code, "s": scale, "z": np.uint8(128), "b": floats(3)}
    more = ["b"] if bias else []
    nodes = [helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "qs", "qz"], "dql"),
             fused("MatMulIntegerToFloat", ["q", "w", "qs", "s", "qz", "z", *more], ("a",)),
             fused("DynamicQuantizeMatMul", ["x", "w", "s", "z", *more], ("m",)),
             node("Add", ["a", "m"])]  # fmt: skip
    made = model(nodes, constants, ("N", COLUMNS))
    x = floats(4, COLUMNS)
    product = x @ ((code.astype(np.float32) - 128) * scale)
    wanted = 2 * (product + (constants["b"] if bias else 0))
    got = run_all(import_onnx_any(write(tmp_path, made)), {"x": x})["y"]
    np.testing.assert_allclose(got, wanted, atol=1e-5)
    assert np.abs(runtime(made, {"x": x})["y"] - wanted).max() < 0.02 * np.abs(wanted).max()


def test_codes_are_no_numbers(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"], "dql"),
        helper.make_node("Cast", ["q"], ["y"], "cast", to=onnx.TensorProto.FLOAT),
    ]
    with pytest.raises(InputError, match="Cast reads 'q', which is codes of a DynamicQuantizeL"):
        import_onnx_any(write(tmp_path, model(nodes, {}, ("N", 4))))
