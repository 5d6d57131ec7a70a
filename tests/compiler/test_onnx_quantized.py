"""Quantized ONNX files, as onnxruntime writes them, against what it computes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from pulsarray import compiler
from pulsarray.compiler.importers.onnx.importer import import_onnx, import_onnx_any
from pulsarray.compiler.interpreter import run_float
from pulsarray.compiler.ir.graph import Graph
from pulsarray.compiler.ops.integer import Convolution
from pulsarray.config import PRESETS
from pulsarray.errors import InputError
from tests.compiler import codes as machine
from tests.compiler.onnx_files import Chain, model, node, write

RNG = np.random.default_rng(0)


def residual(chain: Chain) -> None:
    chain.add("Conv", chain.floats(8, 3, 3, 3), chain.floats(8), pads=[1, 1, 1, 1])
    skip = chain.add("MaxPool", kernel_shape=[2, 2], strides=[2, 2], source=chain.add("Relu"))
    chain.add("Conv", chain.floats(8, 2, 3, 3), chain.floats(8), pads=[1, 1, 1, 1], group=4)
    chain.add("Clip", chain.constant(np.float32(0)), chain.constant(np.float32(6)))
    chain.add("Conv", chain.floats(8, 8, 1, 1), chain.floats(8))
    chain.add("Relu", source=chain.add("Add", skip))
    chain.add("GlobalAveragePool")
    chain.add("Flatten")
    chain.add("Gemm", chain.floats(5, 8), chain.floats(5), transB=1)


def branches(chain: Chain) -> None:
    one = chain.add("Conv", chain.floats(4, 3, 1, 1), chain.floats(4), source="x")
    two = chain.add("Conv", chain.floats(6, 3, 3, 3), pads=[1, 1, 1, 1], source="x")
    chain.add("Concat", one, source=two, axis=1)
    chain.add("AveragePool", kernel_shape=[3, 3], strides=[2, 2])
    chain.add("Sigmoid")
    chain.add("Flatten")
    chain.add("MatMul", chain.constant(RNG.normal(size=(120, 6)).astype(np.float32) / 11))


def quantized(path: Path, build: Callable[[Chain], None], **options: object) -> onnx.ModelProto:
    """A network that onnxruntime has quantized."""
    pytest.importorskip("onnxruntime")
    from onnxruntime import quantization, set_default_logger_severity

    set_default_logger_severity(3)

    class Reader(quantization.CalibrationDataReader):
        def __init__(self) -> None:
            samples = np.random.default_rng(1).normal(size=(20, 1, 3, 10, 8))
            self.samples = iter(samples.astype(np.float32))

        def get_next(self) -> dict[str, np.ndarray] | None:
            sample = next(self.samples, None)
            return None if sample is None else {"x": sample}

    chain = Chain(2, ("n", 3, 10, 8))  # type: ignore[arg-type]
    build(chain)
    source, target = path / "float.onnx", path / "quantized.onnx"
    made = chain.model(13)
    made = onnx.shape_inference.infer_shapes(made)
    made.graph.output[0].CopyFrom(onnx.helper.make_tensor_value_info(chain.last, 1, ("n", "k")))
    onnx.save(made, source)
    kinds = {"s": quantization.QuantType.QInt8, "u": quantization.QuantType.QUInt8}
    quantization.quantize_static(
        source,
        target,
        Reader(),
        quant_format=quantization.QuantFormat[str(options["format"])],
        activation_type=kinds[str(options["activations"])],
        weight_type=kinds[str(options["weights"])],
        per_channel=bool(options["per_channel"]),
        extra_options={"WeightSymmetric": options.get("symmetric", True)},
    )
    return onnx.load(target)


CASES = [
    {"format": "QDQ", "activations": "u", "weights": "s", "per_channel": True},
    {"format": "QDQ", "activations": "s", "weights": "s", "per_channel": False},
    {"format": "QOperator", "activations": "u", "weights": "u", "per_channel": False},
    {"format": "QOperator", "activations": "u", "weights": "s", "per_channel": True},
    {"format": "QOperator", "activations": "s", "weights": "s", "per_channel": False},
]


def codes_of(made: Graph, inputs: np.ndarray) -> np.ndarray:
    return machine.codes_of(made, machine.host_codes(made, inputs.transpose(0, 2, 3, 1)))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("build", [residual, branches])
@pytest.mark.parametrize("options", CASES, ids=lambda o: "-".join(str(v) for v in o.values()))
def test_as_onnxruntime(
    tmp_path: Path, build: Callable[[Chain], None], options: dict[str, object]
) -> None:
    proto = quantized(tmp_path, build, **options)
    made = import_onnx_any(tmp_path / "quantized.onnx")
    assert made.is_quantized
    import onnxruntime

    inputs = np.random.default_rng(99).normal(size=(200, 3, 10, 8)).astype(np.float32)
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    wanted = session.run(None, {"x": inputs})[0]
    result = machine.result_of(made)
    got = codes_of(made, inputs).reshape(wanted.shape)
    difference = np.abs(result.encode(wanted) - got)
    # onnxruntime scales in float32; codes half way between two may go the other way.
    assert (difference > 0).sum() <= 2
    assert difference.max() <= 1


@pytest.mark.filterwarnings("ignore")
def test_asymmetric_weights(tmp_path: Path) -> None:
    quantized(tmp_path, residual, **CASES[2], symmetric=False)
    with pytest.raises(
        InputError, match=r"weights less their zero point.* must be int8 codes, not -"
    ):
        import_onnx_any(tmp_path / "quantized.onnx")


def scales(chain: Chain, *pairs: tuple[float, int]) -> list[str]:
    """Names of scales and zero points of int8."""
    made: list[str] = []
    for scale, zero in pairs:
        made += [
            chain.constant(np.array(scale, np.float32)),
            chain.constant(np.array(zero, np.int8)),
        ]
    return made


def codes(chain: Chain, *shape: int) -> str:
    return chain.constant(chain.rng.integers(-127, 128, shape).astype(np.int8))


def qlinear(kind: str) -> Chain:
    """An operator between QuantizeLinear and DequantizeLinear."""
    chain = Chain(3, (2, 4, 6, 5))
    first, second, third = (0.02, 3), (0.01, 0), (0.05, -7)
    chain.add("QuantizeLinear", *scales(chain, first))
    if kind == "QLinearConv":
        more = [*scales(chain, first), codes(chain, 6, 4, 3, 3), *scales(chain, second)]
        bias = chain.constant(chain.rng.integers(-999, 999, 6).astype(np.int32))
        chain.add(kind, *more, *scales(chain, third), bias, pads=[0, 1, 2, 0], strides=[2, 1])
    else:
        chain.add("MaxPool", kernel_shape=[6, 5])
        chain.add("Flatten")
        more = [*scales(chain, first), codes(chain, 4, 6), *scales(chain, second)]
        chain.add(kind, *more, *scales(chain, third))
    chain.add("DequantizeLinear", *scales(chain, third))
    return chain


@pytest.mark.parametrize("kind", ["QLinearConv", "QLinearMatMul"])
def test_qlinear_by_its_definition(tmp_path: Path, kind: str) -> None:
    chain = qlinear(kind)
    made = import_onnx_any(write(tmp_path, chain.model()))
    assert made.is_quantized
    assert isinstance(made.nodes[-1].op, Convolution)
    weight, offsets = machine.weight_of(made, -1)
    weights = next(v for v in chain.constants.values() if v.dtype == np.int8 and v.ndim)
    if kind == "QLinearConv":
        np.testing.assert_array_equal(weight, weights.transpose(2, 3, 1, 0))
        bias = next(v for v in chain.constants.values() if v.dtype == np.int32)
        np.testing.assert_array_equal(offsets, bias)
    else:
        inputs = chain.rng.normal(size=(2, 4, 6, 5)).astype(np.float32)
        source = made.input.codes.encode(inputs).max(axis=(2, 3)) - 3
        unit = np.float64(np.float32(0.02)) * np.float32(0.01) / np.float32(0.05)
        wanted = np.clip(np.rint(source @ weights.astype(np.int64) * unit) - 7, -128, 127)
        np.testing.assert_array_equal(codes_of(made, inputs).reshape(2, 6), wanted)


def test_float_files_stay_float(tmp_path: Path) -> None:
    file = write(tmp_path, model([node("Relu", ["x"])], {}, (1, 3)))
    assert isinstance(import_onnx_any(file), Graph)
    with pytest.raises(InputError, match="unsupported operators: QuantizeLinear"):
        import_onnx(write(tmp_path, qlinear("QLinearConv").model()))


def test_relu_is_a_limit_and_own_rounding_stays(tmp_path: Path) -> None:
    chain = Chain(3, (2, 4, 6, 5))
    first, second = scales(chain, (0.02, -5)), scales(chain, (0.04, -128))
    weight = chain.add(
        "DequantizeLinear", *scales(chain, (0.01, 0)), source=codes(chain, 4, 4, 1, 1)
    )
    chain.add("DequantizeLinear", *first, source=chain.add("QuantizeLinear", *first, source="x"))
    chain.add("Relu", source=chain.add("Conv", weight))
    skip = chain.add("DequantizeLinear", *second, source=chain.add("QuantizeLinear", *second))
    chain.add("Conv", weight)
    third = scales(chain, (0.05, 9))
    chain.add("DequantizeLinear", *third, source=chain.add("QuantizeLinear", *third))
    chain.add("Add", skip)
    chain.add("QuantizeLinear", *scales(chain, (0.06, 2)))
    made = import_onnx_any(write(tmp_path, chain.model()))
    assert made.is_quantized
    assert [n.kind for n in made.nodes] == ["conv+relu", "conv", "add"]
    op = made.nodes[0].op
    assert isinstance(op, Convolution)
    assert op.scale is not None
    assert (op.scale.zero, op.scale.low) == (-128, -128)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ("other scale", "has not the scale and zero point given here"),
        ("zero scale", "scale must be a positive number of at least 1.18e-38, not 0"),
        ("float weight", "not a valid ONNX file|'w' must be int8, uint8 or int32, not float32"),
        ("no result scale", "its result 'y' is not quantized"),
        ("int16", "must be int8 or uint8, not int16"),
    ],
)
def test_wrong(tmp_path: Path, change: str, text: str) -> None:
    constants: dict[str, np.ndarray] = {
        "s": np.array(0.1, np.float32),
        "z": np.array(0, np.int8),
        "t": np.array(0.0 if change == "zero scale" else 0.2, np.float32),
        "z16": np.array(0, np.int16),
        "w": np.ones((3, 2), np.float32 if change == "float weight" else np.int8),
    }
    zero = "z16" if change == "int16" else "z"
    scale = "t" if change in ("other scale", "zero scale") else "s"
    nodes = [
        node("QuantizeLinear", ["x", "s", zero], "q"),
        node("DequantizeLinear", ["q", scale, zero], "r"),
        node("DequantizeLinear", ["w", "s", "z"], "weight"),
        node("MatMul", ["r", "weight"], "m"),
        node("QuantizeLinear", ["m", "s", "z"], "y"),
    ]
    if change == "no result scale":
        nodes[3:] = [node("MatMul", ["r", "weight"])]
    file = write(tmp_path, model(nodes, constants, (1, 3), opset=21))
    with pytest.raises(InputError, match=text) as caught:
        import_onnx_any(file)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["int8", "uint8"])
def test_a_file_that_is_float_before_it_rounds_is_read_as_float(tmp_path: Path, kind: str) -> None:
    """Its weights are what codes stand for, and codes end where they did."""
    rng, zero = np.random.default_rng(4), 3 if kind == "int8" else 131
    constants = {
        "s": np.array(0.02, np.float32),
        "z": np.array(zero, kind),
        "w": rng.integers(-127, 128, (6, 5)).astype(np.int8),
        "ws": rng.uniform(0.01, 0.02, 5).astype(np.float32),
        "wz": np.zeros(5, np.int8),
    }
    nodes = [
        node("Sigmoid", ["x"], "g"),
        node("Mul", ["x", "g"], "f"),
        node("QuantizeLinear", ["f", "s", "z"], "q"),
        node("DequantizeLinear", ["q", "s", "z"], "r"),
        node("DequantizeLinear", ["w", "ws", "wz"], "weight", axis=1),
        node("MatMul", ["r", "weight"]),
    ]
    made = model(nodes, constants, (1, 6), opset=17)
    graph = import_onnx_any(write(tmp_path, made))
    assert not graph.is_quantized
    assert "is not quantized before it is used, by Mul_f" in str(graph.notes["partly_float"])
    x = rng.normal(0, 3, (20, 6)).astype(np.float32)
    gated = np.clip(x / (1 + np.exp(-x)), -2.62, 2.48)
    weight = constants["w"] * constants["ws"]
    np.testing.assert_allclose(run_float(graph, x), gated @ weight, atol=1e-5)
    session = onnxruntime.InferenceSession(made.SerializeToString())
    for sample, row in zip(x, run_float(graph, x), strict=True):
        (wanted,) = session.run(None, {"x": sample[None]})
        bound = 0.01 * np.abs(weight).sum(axis=0) + 1e-4  # Half a code of each of x.
        assert (abs(wanted[0] - row) <= bound).all()
    assert compiler.compile(graph, PRESETS["small"], calibration=x).layers


def test_what_is_partly_float_needs_known_scales(tmp_path: Path) -> None:
    nodes = [
        node("Relu", ["x"], "f"),
        node("QuantizeLinear", ["f", "s", "z"], "q"),
        node("DequantizeLinear", ["q", "s", "z"]),
    ]
    constants = {"s": np.array([0.1, 0.2], np.float32), "z": np.array([0, 0], np.int8)}
    file = write(tmp_path, model(nodes, constants, (1, 2), opset=17))
    with pytest.raises(InputError, match="one scale"):
        import_onnx_any(file)
