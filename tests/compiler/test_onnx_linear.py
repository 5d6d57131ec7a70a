"""ONNX operators that are affine in their input: as ONNX Runtime has them, in int8 too."""

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
from tests.compiler.test_onnx_moving import SHAPE, Constants, assert_right, ints, network

RNG = np.random.default_rng(7)
SMALL = [node("Relu", ["c"], "r"), node("MaxPool", ["r"], "p", kernel_shape=[2, 2], strides=[2, 2])]
"""Before it a map (8, 2, 3)."""
PLACES = RNG.integers(0, 3, (1, 8, 2, 4))


CASES: dict[str, tuple[NodeProto, Constants]] = {
    "Expand": (node("Expand", ["p", "s"]), {"s": ints(1, 1, 1, 3)}),
    "Expand of more": (
        node("Expand", ["q", "s"]),
        {"s": ints(1, 8, 4, 3)},
    ),
    "Tile": (node("Tile", ["p", "s"]), {"s": ints(1, 2, 1, 3)}),
    "CumSum": (node("CumSum", ["p", "s"]), {"s": np.array(3)}),
    "CumSum in reverse": (
        node("CumSum", ["p", "s"], exclusive=1, reverse=1),
        {"s": np.array(1)},
    ),
    "Trilu": (node("Trilu", ["p"], upper=0), {}),
    "CenterCropPad": (node("CenterCropPad", ["p", "s"], axes=[2, 3]), {"s": ints(4, 1)}),
    "Compress": (
        node("Compress", ["p", "s"], axis=1),
        {"s": np.array([True, False] * 4)},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_as_onnx_runtime_has_it(tmp_path: Path, name: str) -> None:
    call, constants = CASES[name]
    before = [*SMALL, node("ReduceMean", ["p"], "q", axes=[2], keepdims=1)]
    nodes = [*before, call] if "q" in call.input else [*SMALL, call]
    assert_right(tmp_path, nodes, constants, opset=18 if name == "CenterCropPad" else 17)


ALONE: dict[str, tuple[NodeProto, Constants]] = {
    "GatherElements": (node("GatherElements", ["p", "i"], axis=3), {"i": PLACES}),
    "GatherND": (node("GatherND", ["p", "i"], batch_dims=1), {"i": PLACES[..., :3] % 2}),
    "ScatterElements": (
        node("ScatterElements", ["p", "i", "u"], axis=1),
        {"i": ints(3, 0).reshape(1, 2, 1, 1), "u": RNG.normal(size=(1, 2, 1, 1)).astype("f")},
    ),
    "ScatterND": (
        node("ScatterND", ["p", "i", "u"], reduction="add"),
        {"i": np.zeros((1, 1), np.int64), "u": RNG.normal(size=(1, 8, 2, 3)).astype("f")},
    ),
    "GridSample": (
        node("GridSample", ["p", "g"], align_corners=1),
        {"g": RNG.uniform(-1.2, 1.2, (1, 3, 4, 2)).astype("f")},
    ),
}


def fixed(call: NodeProto, constants: Constants) -> onnx.ModelProto:
    """A network whose batch is one."""
    made = network([*SMALL, call], constants)
    made.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    return made


@pytest.mark.parametrize("name", ALONE)
def test_with_operands_for_a_batch_of_one(tmp_path: Path, name: str) -> None:
    call, constants = ALONE[name]
    path = write(tmp_path, fixed(call, constants))
    data = RNG.normal(size=(1, *SHAPE)).astype(np.float32)
    wanted = runtime(onnx.load(path), data)
    np.testing.assert_allclose(run_float(import_onnx(path), data), wanted, rtol=1e-5, atol=1e-5)


REFUSED = {
    "the batch is summed": (
        [node("CumSum", ["c", "s"])],
        {"s": np.array(0)},
        r"node CumSum_y: CumSum must do the same with each sample by itself",
    ),
    "the batch grows": (
        [node("Tile", ["c", "s"])],
        {"s": ints(2, 1, 1, 1)},
        r"node Tile_y: Tile must keep all samples of a batch, and elements of each",
    ),
    "the least of two": (
        [*SMALL, ALONE["ScatterElements"][0]],
        ALONE["ScatterElements"][1],
        r"node ScatterElements_y: ScatterElements must replace, add or multiply elements",
    ),
    "too large": (
        [node("Tile", ["c", "s"])],
        {"s": ints(1, 1, 1000, 1)},
        r"node Tile_y: Tile of 192 elements to 192000 is too large",
    ),
    "no such axis": (
        [node("CumSum", ["c", "s"])],
        {"s": np.array(7)},
        r"node CumSum_y: CumSum of constants fails: ",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_affine_or_mixes_samples_is_refused(tmp_path: Path, name: str) -> None:
    nodes, constants, message = REFUSED[name]
    made = network(nodes, constants, opset=18)
    if name == "the least of two":
        made.graph.node[-1].attribute.append(onnx.helper.make_attribute("reduction", "min"))
    with pytest.raises(InputError, match=message):
        import_onnx(write(tmp_path, made))


def test_constants_of_operators_that_only_the_reference_has(tmp_path: Path) -> None:
    """Shapes as exporters compute them, by Range, Size, Where, Equal, Cast and Expand."""
    nodes = [
        node("Shape", ["x"], "s"),
        node("Slice", ["s", "one", "two"], "c"),
        node("Equal", ["c", "eight"], "e"),
        node("Where", ["e", "eight", "minus"], "w"),
        node("Concat", ["nil", "w", "minus"], "t", axis=0),
        node("Reshape", ["x", "t"], "r"),
        node("ReduceMean", ["r"], axes=[2], keepdims=0),
    ]
    constants = {
        "one": ints(1), "two": ints(2), "eight": ints(8), "minus": ints(-1), "nil": ints(0),
    }  # fmt: skip
    made = model(nodes, constants, ("N", *SHAPE))
    graph = import_onnx(write(tmp_path, made))
    data = RNG.normal(size=(3, *SHAPE)).astype(np.float32)
    np.testing.assert_allclose(run_float(graph, data), runtime(made, data), rtol=1e-5, atol=1e-6)
