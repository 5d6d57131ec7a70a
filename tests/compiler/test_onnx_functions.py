"""ONNX's functions of single elements: as ONNX Runtime has them, and in int8 by table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import NodeProto

from pulsarray.compiler.importers.onnx.functions import FUNCTIONS
from pulsarray.compiler.importers.onnx.importer import import_onnx
from pulsarray.compiler.interpreter import run_float
from pulsarray.compiler.ir.graph import Graph
from pulsarray.compiler.passes.pipeline import quantize_graph
from pulsarray.config import PRESETS
from pulsarray.errors import InputError
from tests.compiler.codes import codes_of, result_of
from tests.compiler.onnx_files import model, node, write
from tests.compiler.test_onnx_float_graphs import runtime

SHAPE = (4, 3, 5)
POSITIVE = {"Log", "Reciprocal", "Sqrt"}
CODES = np.arange(-128, 128)
ATTRIBUTES: dict[str, dict[str, float]] = {
    "Celu": {"alpha": 1.5},
    "Elu": {"alpha": 0.7},
    "HardSigmoid": {"alpha": 0.3, "beta": 0.4},
    "LeakyRelu": {"alpha": 0.2},
    "Selu": {"alpha": 1.2, "gamma": 0.9},
    "Shrink": {"lambd": 0.4, "bias": 0.3},
    "ThresholdedRelu": {"alpha": 0.3},
}
FORMS = [(kind, {}) for kind in FUNCTIONS] + [*ATTRIBUTES.items()]
each_form = pytest.mark.parametrize(
    ("kind", "attributes"), FORMS, ids=[f"{kind} {'with' * bool(a)}" for kind, a in FORMS]
)


def samples(kind: str) -> np.ndarray:
    rng = np.random.default_rng(5)
    drawn = 2.0 * rng.normal(size=(20, *SHAPE))
    return (abs(drawn) + 0.1 if kind in POSITIVE else drawn).astype(np.float32)


def judged(
    path: Path, nodes: list[NodeProto], constants: dict[str, np.ndarray], data: np.ndarray
) -> Graph:
    """The imported network, which computes what ONNX Runtime does."""
    made = model(nodes, constants, ("N", *SHAPE), opset=20)
    graph = import_onnx(write(path, made))
    wanted = runtime(made, data)
    np.testing.assert_allclose(run_float(graph, data), wanted, rtol=2e-6, atol=2e-6)
    return graph


def assert_by_table(graph: Graph, data: np.ndarray) -> None:
    """Every code of the input becomes that which is nearest to the function's value."""
    (made,) = graph.nodes
    quantized = quantize_graph(graph, data, PRESETS["small"])
    source, result = quantized.input.codes, result_of(quantized)
    size = int(np.prod(quantized.input.shape))
    rows = np.resize(CODES, (-(-256 // size), *quantized.input.shape))
    values = source.decode(rows)
    with np.errstate(all="ignore"):
        wanted = made.op.real(values)
    known = np.isfinite(wanted)
    assert known.mean() > 0.9
    low, high = result.decode([-128, 127])
    error = result.decode(codes_of(quantized, rows)) - np.clip(wanted, low, high)
    assert (abs(error[known]) <= 0.501 * result.scale).all()


@each_form
def test_functions(tmp_path: Path, kind: str, attributes: dict[str, float]) -> None:
    data = samples(kind)
    assert_by_table(judged(tmp_path, [node(kind, ["x"], **attributes)], {}, data), data)


@pytest.mark.parametrize("exponent", [2.0, 0.5, -1.0, 1.5, -0.5, 1.0])
def test_powers(tmp_path: Path, exponent: float) -> None:
    data = samples("Sqrt")
    constants = {"e": np.float32(exponent)}
    assert_by_table(judged(tmp_path, [node("Pow", ["x", "e"])], constants, data), data)


def test_a_cube_of_any_sign(tmp_path: Path) -> None:
    data = samples("Pow")
    nodes = [node("Pow", ["x", "e"])]
    assert_by_table(judged(tmp_path, nodes, {"e": np.array([3.0], np.float32)}, data), data)


def test_reciprocals_of_negative_numbers(tmp_path: Path) -> None:
    data = -samples("Reciprocal")
    assert_by_table(judged(tmp_path, [node("Reciprocal", ["x"])], {}, data), data)


@pytest.mark.parametrize("shape", [(), (1,), (4, 1, 1), (1, 4, 1, 1)])
def test_a_slope_for_each_channel(tmp_path: Path, shape: tuple[int, ...]) -> None:
    data, rng = samples("PRelu"), np.random.default_rng(2)
    slope = rng.uniform(0.1, 0.9, shape).astype(np.float32)
    graph = judged(tmp_path, [node("PRelu", ["x", "slope"])], {"slope": slope}, data)
    quantized = quantize_graph(graph, data, PRESETS["small"])
    source = quantized.input.codes.encode(data.transpose(0, 2, 3, 1))
    codes = codes_of(quantized, source)
    error = result_of(quantized).decode(codes).transpose(0, 3, 1, 2) - run_float(graph, data)
    assert np.sqrt(np.mean(error**2)) < 0.05 * np.sqrt(np.mean(run_float(graph, data) ** 2))


def test_a_root_of_negative_numbers_is_refused(tmp_path: Path) -> None:
    made = model([node("Sqrt", ["x"])], {}, ("N", *SHAPE))
    graph = import_onnx(write(tmp_path, made))
    with pytest.raises(InputError, match="y: calibration data makes values beyond"):
        quantize_graph(graph, samples("Abs"), PRESETS["small"])


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ([node("Pow", ["x", "x"])], "exponent 'x' must be a constant"),
        ([node("Pow", ["x", "row"])], r"exponent 'row' must be one number, not \(5,\)"),
        ([node("Pow", ["row", "x"])], "needs a value that depends on the input, not constant"),
        ([node("Celu", ["x"], alpha=0.0)], "alpha must not be 0"),
        ([node("PRelu", ["x", "six"])], r"\(6,\) does not fit \(N, 4, 3, 5\)"),
        ([node("Gelu", ["x"], approximate="erf")], "must be none or tanh, not 'erf'"),
    ],
)
def test_what_is_refused(tmp_path: Path, nodes: list[NodeProto], message: str) -> None:
    row = np.arange(1.0, 6.0, dtype=np.float32)
    made = model(nodes, {"row": row, "six": np.ones(6, "f")}, ("N", *SHAPE), opset=20)
    with pytest.raises(InputError, match=message):
        import_onnx(write(tmp_path, made))
