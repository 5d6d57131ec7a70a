"""ONNX operators on two values that repeat along axes: as ONNX Runtime has them, and in int8."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import NodeProto

from pulsarray.compiler.importers.onnx.importer import import_onnx
from pulsarray.compiler.interpreter import from_host, run_float, to_host
from pulsarray.compiler.passes.pipeline import quantize_graph
from pulsarray.config import PRESETS
from pulsarray.errors import InputError
from tests.compiler.codes import codes_of, host_codes, result_of
from tests.compiler.onnx_files import model, node, write
from tests.compiler.test_onnx_float_graphs import runtime

SHAPE = (4, 3, 5)
DATA = np.random.default_rng(4).normal(size=(20, *SHAPE)).astype(np.float32)
GATE = [node("GlobalAveragePool", ["x"], "m"), node("Sigmoid", ["m"], "g")]
PIXELS = [node("Transpose", ["x"], "t", perm=[0, 2, 3, 1]), node("Sigmoid", ["t"], "p")]


def assert_right(
    path: Path, nodes: list[NodeProto], constants: dict[str, np.ndarray] | None = None
) -> None:
    """In floating point equal to ONNX Runtime, in int8 close to that."""
    made = model(nodes, constants or {}, ("N", *SHAPE), opset=20)
    graph, wanted = import_onnx(write(path, made)), runtime(made, DATA)
    np.testing.assert_allclose(run_float(graph, DATA), wanted, rtol=2e-6, atol=2e-6)
    quantized = quantize_graph(graph, DATA, PRESETS["small"])
    codes = codes_of(quantized, host_codes(quantized, from_host(graph, DATA)))
    made = to_host(graph, result_of(quantized).decode(codes)).reshape(wanted.shape)
    assert np.sqrt(np.mean((made - wanted) ** 2)) < 0.05 * np.sqrt(np.mean(wanted**2))


@pytest.mark.parametrize("kind", ["Add", "Sub", "Mul", "Div", "Max", "Min"])
@pytest.mark.parametrize("names", [["x", "g"], ["g", "s"]])
def test_a_gate_for_each_channel(tmp_path: Path, kind: str, names: list[str]) -> None:
    nodes = [*GATE, node("Softplus", ["x"], "s"), node(kind, names)]
    assert_right(tmp_path, nodes)


def test_a_gate_of_many_pixels(tmp_path: Path) -> None:
    """More elements than NumPy looks at together."""
    shape = (96, 80, 80)
    made = model([*GATE, node("Mul", ["x", "g"])], {}, ("N", *shape), opset=20)
    graph = import_onnx(write(tmp_path, made))
    assert [n.op.title for n in graph.nodes] == ["average_pool", "sigmoid", "multiply"]
    data = np.random.default_rng(0).normal(size=(1, *shape)).astype(np.float32)
    np.testing.assert_allclose(run_float(graph, data), runtime(made, data), rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("kind", ["Sub", "Mul", "Max"])
def test_channels_last(tmp_path: Path, kind: str) -> None:
    """Elements that meet lie alike, whatever the file calls their axes."""
    assert_right(tmp_path, [*PIXELS, node(kind, ["t", "p"])])


def test_a_map_without_channels(tmp_path: Path) -> None:
    nodes = [node("Conv", ["x", "w"], "c"), node("Mul", ["x", "c"])]
    assert_right(tmp_path, nodes, {"w": np.full((1, 4, 1, 1), 0.5, np.float32)})


@pytest.mark.parametrize(
    ("kind", "names", "titles"),
    [
        ("Max", ["x", "low"], ["clip"]),
        ("Min", ["low", "x", "high"], ["clip"]),
        ("Max", ["x"], []),
        ("Min", ["x", "s", "t"], ["sigmoid", "tanh", "minimum", "minimum"]),
        ("Div", ["high", "s"], ["sigmoid", "reciprocal", "batch_norm"]),
        ("Sum", ["x", "s", "t"], ["sigmoid", "tanh", "add", "add"]),
    ],
)
def test_limits_and_many(tmp_path: Path, kind: str, names: list[str], titles: list[str]) -> None:
    nodes = [node("Sigmoid", ["x"], "s"), node("Tanh", ["x"], "t"), node(kind, names, "m")]
    nodes.append(node("Relu", ["m"]))
    constants = {"low": np.float32(0.1), "high": np.array([0.7], np.float32)}
    assert_right(tmp_path, nodes, constants)
    graph = import_onnx(tmp_path / "net.onnx")
    assert [n.op.title for n in graph.nodes] == [*titles, "relu"]


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        (
            [node("Flatten", ["x"], "f"), node("Relu", ["f"], "r"), node("Add", ["x", "r"])],
            r"Add needs inputs of one shape, or sizes of 1 in as many axes, not \(N, 4, 3, 5\) and",
        ),
        (
            [node("Transpose", ["x"], "t", perm=[0, 1, 3, 2]), node("Add", ["x", "t"])],
            r"not \(N, 4, 3, 5\) and \(N, 4, 5, 3\)",
        ),
        (
            [node("Sigmoid", ["x"], "s"), node("Max", ["x", "s", "low"])],
            "Max of several values and limits is not possible",
        ),
    ],
)
def test_what_is_refused(tmp_path: Path, nodes: list[NodeProto], message: str) -> None:
    made = model(nodes, {"low": np.float32(0.1)}, ("N", *SHAPE), opset=20)
    with pytest.raises(InputError, match=message):
        import_onnx(write(tmp_path, made))


def test_a_square_map_and_its_transpose(tmp_path: Path) -> None:
    nodes = [
        node("Relu", ["x"], "r"),
        node("Transpose", ["r"], "t", perm=[0, 1, 3, 2]),
        node("Add", ["r", "t"]),
    ]
    made = model(nodes, {}, ("N", 4, 3, 3), opset=20)
    graph, data = import_onnx(write(tmp_path, made)), DATA[..., :3]
    np.testing.assert_allclose(run_float(graph, data), runtime(made, data), rtol=1e-6)


def test_an_open_batch_may_be_written_as_a_negative_number(tmp_path: Path) -> None:
    made = model([node("Relu", ["x"])], {}, ("N", *SHAPE))
    made.graph.input[0].type.tensor_type.shape.dim[0].dim_value = -1
    graph = import_onnx(write(tmp_path, made))
    np.testing.assert_array_equal(run_float(graph, DATA), np.maximum(DATA, 0.0))
