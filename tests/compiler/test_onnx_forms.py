"""Forms that an operator may have in a file: attributes or inputs, omitted, empty, on codes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from pulsarray.compiler.importers.onnx.importer import import_onnx, import_onnx_any
from pulsarray.compiler.interpreter import run_float
from pulsarray.compiler.ir.formats import Affine8
from pulsarray.errors import InputError
from tests.compiler.codes import codes_of, result_of
from tests.compiler.onnx_files import Arrays, model, node, write
from tests.compiler.test_onnx_float_graphs import runtime

RNG = np.random.default_rng(5)
W = RNG.normal(size=(4, 4)).astype(np.float32)
GAPPED = {"s": [3, 3], "e": [-9, -9], "t": [-1, -2]}
BATCH = [
    node("Shape", ["x"], "s"),
    node("Gather", ["s", "zero"], "b", axis=0),
    node("Cast", ["b"], "f", to=TensorProto.FLOAT),
]


def same(path: Path, nodes: list[onnx.NodeProto], constants: Arrays, *shape: int | str) -> None:
    made = model(nodes, constants, shape)
    inputs = RNG.normal(size=(2, *shape[1:])).astype(np.float32)
    got = run_float(import_onnx(write(path, made)), inputs)
    np.testing.assert_allclose(got, runtime(made, inputs), rtol=1e-5, atol=1e-5)


def test_an_omitted_input_keeps_the_place_of_the_next(tmp_path: Path) -> None:
    nodes = [node("Slice", ["w", "s", "e", "", "t"], "v"), node("Gemm", ["x", "v"], transB=1)]
    same(tmp_path, nodes, {"w": W, **{k: np.array(v) for k, v in GAPPED.items()}}, "n", 2)


def test_a_second_result_that_nobody_reads(tmp_path: Path) -> None:
    pool = onnx.helper.make_node("MaxPool", ["x"], ["y", "z"], kernel_shape=[2, 2])
    same(tmp_path, [pool], {}, "n", 2, 4, 4)


def test_a_size_of_the_input_as_a_factor(tmp_path: Path) -> None:
    nodes = [*BATCH, node("Mul", ["x", "f"])]
    same(tmp_path, nodes, {"zero": np.array(1)}, "n", 4)
    with pytest.raises(
        InputError, match="Mul 'f' depends on the batch, which the file leaves open"
    ):
        same(tmp_path, nodes, {"zero": np.array(0)}, "n", 4)


def test_the_open_batch_in_a_reshape(tmp_path: Path) -> None:
    more = [node("Reshape", ["x", "r"], "m"), node("Relu", ["m"])]
    constants = {"zero": np.array([0]), "rest": np.array([2, -1]), "two": np.array([2])}
    same(tmp_path, [*BATCH, node("Concat", ["b", "rest"], "r", axis=0), *more], constants, "n", 4)
    wrong = [*BATCH, node("Mul", ["b", "two"], "d"), node("Concat", ["d", "rest"], "r", axis=0)]
    with pytest.raises(InputError, match="shape 'r' depends on the batch"):
        same(tmp_path, [*wrong, *more], constants, "n", 4)


@pytest.mark.parametrize(
    ("nodes", "constants", "text"),
    [
        (
            [node("Squeeze", ["x", "a"])],
            {"a": np.zeros(0, np.int64)},
            "node Squeeze_y: Squeeze with an empty list of axes means none to some",
        ),
        (
            [node("Reshape", ["x", "a"], allowzero=1)],
            {"a": np.array([0, 4, 4, 4])},
            r"Reshape with allowzero to \[0, 4, 4, 4\] leaves no elements",
        ),
        (
            [node("AveragePool", ["x"], kernel_shape=[2, 2], dilations=[2, 2],
                  auto_pad="SAME_UPPER")],
            {},
            "AveragePool with dilations and auto_pad is padded one way by ONNX's text and another",
        ),
        (
            [node("Pad", ["x", "p", "", "a"])],
            {"p": np.array([1, 2, 3, 4]), "a": np.array([-1, 3])},
            r"Pad has an axis twice among \(-1, 3\)",
        ),
    ],
)  # fmt: skip
def test_refused(tmp_path: Path, nodes: list[onnx.NodeProto], constants: Arrays, text: str) -> None:
    made = model(nodes, constants, ("n", 4, 4, 4), opset=19)
    with pytest.raises(InputError, match=text):
        import_onnx(write(tmp_path, made))


GIVEN: Arrays = {
    "s": np.float32(0.0513), "z": np.int8(3), "u": np.uint8(7), "o": np.int8(0),
    "ws": np.float32(0.0217), "wz": np.int8(0), "w": RNG.integers(-127, 128, (4, 6), np.int8),
    "b": RNG.integers(-2000, 2000, 6, np.int32), "os": np.float32(0.0719), "oz": np.int8(-5),
    "p": np.array([0, 0, 1, 0, 0, 0, 0, 1]), "low": np.int8(-9), "high": np.int8(50),
}  # fmt: skip
FIRST = node("QuantizeLinear", ["x", "s", "z"], "q")
LAST = [node("QuantizeLinear", ["t", "os", "oz"], "r"), node("DequantizeLinear", ["r", "os", "oz"])]


def product(*before: onnx.NodeProto, weight: str = "ws") -> list[onnx.NodeProto]:
    """Codes q, or what they stand for, d, to a product with a weight in codes."""
    weights = node("DequantizeLinear", ["w", weight, "wz"], "v")
    return [*before, weights, node("MatMul", ["d", "v"], "t"), *LAST]


def gemm(alpha: float) -> list[onnx.NodeProto]:
    names = ["q", "s", "z", "w", "ws", "wz", "b", "os", "oz"]
    made = node("QGemm", names, "r", domain="com.microsoft", alpha=alpha)
    return [FIRST, made, LAST[1]]


def unwritten(kind: int) -> list[onnx.NodeProto]:
    return product(
        node("QuantizeLinear", ["x", "s"], "q", output_dtype=kind),
        node("DequantizeLinear", ["q", "s"], "d"),
    )


def padded(*value: str) -> list[onnx.NodeProto]:
    return [FIRST, node("Pad", ["q", "p", *value], "r"), node("DequantizeLinear", ["r", "s", "z"])]


QUANTIZED = {
    "alpha": (gemm(0.5), (4,)),
    "large alpha": (gemm(3.0), (4,)),
    "int8 without zero point": (unwritten(TensorProto.INT8), (4,)),
    "uint8 without zero point": (unwritten(TensorProto.UINT8), (4,)),
    "one without zero point": (
        product(
            node("QuantizeLinear", ["x", "s", "o"], "q"),
            node("DequantizeLinear", ["q", "s"], "d"),
        ),
        (4,),
    ),
    "constant operator": (
        product(
            node("Constant", [], "scale", value_float=0.0217),
            FIRST,
            node("DequantizeLinear", ["q", "s", "z"], "d"),
            weight="scale",
        ),
        (4,),
    ),
    "padding with the zero point": (padded("z"), (2, 3, 3)),
    "codes side by side": (
        [
            FIRST,
            node("Concat", ["q", "q"], "r", axis=1),
            node("DequantizeLinear", ["r", "s", "z"]),
        ],
        (4,),
    ),
}


def quantized(path: Path, nodes: list[onnx.NodeProto], shape: tuple[int, ...]) -> onnx.ModelProto:
    read = {name for each in nodes for name in each.input}
    constants = {name: value for name, value in GIVEN.items() if name in read}
    made = model(nodes, constants, ("n", *shape), opset=21)
    write(path, made)
    return made


@pytest.mark.parametrize("case", QUANTIZED)
def test_quantized(tmp_path: Path, case: str) -> None:
    nodes, shape = QUANTIZED[case]
    made = quantized(tmp_path, nodes, shape)
    graph = import_onnx_any(tmp_path / "net.onnx")
    assert isinstance(graph.input.format, Affine8)
    inputs = 2 * np.random.default_rng(3).normal(size=(40, *shape)).astype(np.float32)
    steps = np.rint(inputs / np.float32(graph.input.format.scale)) + graph.input.format.zero
    images = np.clip(steps, -128, 127).reshape(40, *shape)
    codes = np.moveaxis(images, 1, -1).reshape(40, *graph.input.shape).astype(np.int64)
    result = result_of(graph)
    got = (codes_of(graph, codes) - result.zero) * result.scale
    wanted = runtime(made, inputs)
    got = np.moveaxis(got, -1, 1).reshape(wanted.shape)
    np.testing.assert_allclose(got, wanted, rtol=0, atol=0.01 * result.scale)


@pytest.mark.parametrize(
    ("nodes", "text"),
    [
        (unwritten(TensorProto.INT16), "output_dtype must be int8 or uint8, not int16"),
        (padded(), "node Pad_r: Pad puts code 0 around 'q', which must be its zero point, 3"),
        (
            [FIRST, node("Clip", ["q", "low", "high"])],
            "node Clip_y: Clip reads 'q', which is codes, not real numbers; it needs a Dequantize",
        ),
        ([FIRST, node("Relu", ["q"])], "Relu reads 'q', which is codes"),
        ([FIRST, node("QuantizeLinear", ["q", "s", "z"])], "'q' is codes already"),
        ([FIRST, node("DequantizeLinear", ["x", "s", "z"])], "'x' must be codes of a QuantizeLin"),
    ],
)
def test_quantized_refused(tmp_path: Path, nodes: list[onnx.NodeProto], text: str) -> None:
    quantized(tmp_path, nodes, (2, 3, 3))
    with pytest.raises(InputError, match=text):
        import_onnx_any(tmp_path / "net.onnx")
