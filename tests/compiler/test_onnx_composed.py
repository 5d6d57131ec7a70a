"""ONNX operators that are made of others: as ONNX Runtime has them, in int8 too."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import NodeProto

from pulsarray import compiler
from pulsarray.compiler.importers.onnx.importer import import_onnx
from pulsarray.compiler.interpreter import run_float
from pulsarray.config import PRESETS
from pulsarray.errors import InputError
from pulsarray.model.functional import execute
from pulsarray.program import Program, unpack
from pulsarray.tensors import real_values, with_arrays
from tests.compiler.onnx_files import model, node, write
from tests.compiler.test_onnx_float_graphs import runtime
from tests.compiler.test_onnx_moving import DATA, SHAPE, Constants, assert_right, ints, network

RNG = np.random.default_rng(8)
HALF = np.float32(0.5)
MASK = RNG.integers(0, 2, (1, 8, 1, 6)).astype(bool)
MAP = RNG.normal(size=(8, 4, 6)).astype(np.float32)
OTHER = node("Sigmoid", ["c"], "o")

CASES: dict[str, tuple[list[NodeProto], Constants]] = {
    "softmax inside": ([node("Softmax", ["c"], "s", axis=1), node("Mul", ["s", "c"])], {}),
    "softmax of rows": ([node("Softmax", ["c"], "s", axis=3), node("Neg", ["s"])], {}),
    "log softmax": ([node("LogSoftmax", ["c"], axis=1)], {}),
    "mean of three": ([OTHER, node("Neg", ["c"], "n"), node("Mean", ["c", "o", "n"])], {}),
    "a constant choice": ([OTHER, node("Where", ["m", "c", "o"])], {"m": MASK}),
    "a sum with a map": ([node("Add", ["c", "m"])], {"m": MAP}),
    "factors of rows": ([node("Mul", ["c", "m"])], {"m": MAP[:1, :, :1]}),
    "groups": (
        [node("GroupNormalization", ["c", "g", "b"], num_groups=2)],
        {"g": RNG.uniform(0.5, 1, 8).astype("f"), "b": RNG.normal(size=8).astype("f")},
    ),
    "instances": (
        [node("InstanceNormalization", ["c", "g", "b"])],
        {"g": RNG.uniform(0.5, 1, 8).astype("f"), "b": RNG.normal(size=8).astype("f")},
    ),
    "roots of means of squares": (
        [node("RMSNormalization", ["c", "g"], axis=2)],
        {"g": RNG.uniform(0.5, 1, (4, 6)).astype("f")},
    ),
    "rows normalized": ([node("LpNormalization", ["c"], axis=3, p=2)], {}),
    "norms of windows": ([node("LpPool", ["c"], kernel_shape=[2, 3], strides=[2, 3], p=2)], {}),
    "products of pairs": (
        [OTHER, node("Slice", ["o", "z", "t", "a"], "p"), node("ReduceProd", ["p", "a"])],
        {"z": ints(0), "t": ints(3), "a": ints(3)},
    ),
    "swish": ([node("Swish", ["c"], alpha=1.5)], {}),
}


@pytest.mark.parametrize("name", CASES)
def test_as_onnx_runtime_has_it(tmp_path: Path, name: str) -> None:
    nodes, constants = CASES[name]
    if name in ("groups", "roots of means of squares", "swish"):
        made = network(nodes, constants, 24 if name == "swish" else 23)
        graph = import_onnx(write(tmp_path, made))
        np.testing.assert_allclose(
            run_float(graph, DATA), by_reference(made, DATA), rtol=1e-4, atol=1e-5
        )
        return
    assert_right(tmp_path, nodes, constants, opset=18)


def by_reference(made: object, data: np.ndarray) -> np.ndarray:
    """For operators that ONNX Runtime does not have in their newest version."""
    from onnx.reference import ReferenceEvaluator

    return np.asarray(ReferenceEvaluator(made).run(None, {"x": data})[0])  # type: ignore[arg-type]


COMPARED = ("Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Equal")


@pytest.mark.parametrize("kind", COMPARED)
@pytest.mark.parametrize("second", ["h", "o"])
def test_comparisons_and_choices(tmp_path: Path, kind: str, second: str) -> None:
    nodes = [OTHER, node(kind, ["o", second], "g"), node("Not", ["g"], "n")]
    nodes += [node("Or", ["g", "n"], "one"), node("And", ["one", "n"], "m")]
    nodes += [node("Xor", ["m", "g"], "t"), node("Where", ["n", "c", "o"], "v")]
    nodes += [node("Cast", ["t"], "f", to=1), node("Mul", ["f", "v"])]
    made = network(nodes, {"h": HALF})
    graph = import_onnx(write(tmp_path, made))
    wanted = runtime(made, DATA)
    np.testing.assert_allclose(run_float(graph, DATA), wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("axis", [1, 2, -1])
def test_the_first_of_the_largest(tmp_path: Path, axis: int) -> None:
    data = RNG.integers(0, 3, (20, *SHAPE)).astype(np.float32)
    made = model([node("Hardmax", ["x"], axis=axis)], {}, ("N", *SHAPE))
    graph = import_onnx(write(tmp_path, made))
    np.testing.assert_array_equal(run_float(graph, data), runtime(made, data))


@pytest.mark.parametrize("attributes", [{}, {"exclusive": 1}, {"reverse": 1}])
def test_cumulative_products(tmp_path: Path, attributes: dict[str, int]) -> None:
    made = network([OTHER, node("CumProd", ["o", "a"], **attributes)], {"a": np.array(3)}, 26)
    graph = import_onnx(write(tmp_path, made))
    np.testing.assert_allclose(run_float(graph, DATA), by_reference(made, DATA), rtol=1e-4)


MOVED: dict[str, list[NodeProto]] = {
    "side by side along rows": [OTHER, node("Concat", ["c", "o"], axis=2)],
    "rows are channels": [node("Transpose", ["c"], "t", perm=[0, 2, 1, 3]), node("Relu", ["t"])],
    "pooled crosswise": [
        node("Transpose", ["c"], "t", perm=[0, 3, 1, 2]),
        node("MaxPool", ["t"], kernel_shape=[2, 2]),
    ],
    "padded by reflection": [node("Pad", ["c", "p"], mode="reflect")],
    "padded with ones": [node("Pad", ["c", "p", "one"])],
    "along a part of the channels": [
        node("Reshape", ["c", "s"], "r"),
        node("ReduceMax", ["r"], axes=[2, 4]),
    ],
}


@pytest.mark.parametrize("name", MOVED)
def test_elements_move_between_rows_and_channels(tmp_path: Path, name: str) -> None:
    constants = {
        "p": ints(0, 2, 1, 0, 0, 0, 2, 3),
        "one": np.float32(1.0),
        "s": ints(0, 4, 2, 4, 6),
    }
    made = network(MOVED[name], constants)
    graph = import_onnx(write(tmp_path, made))
    np.testing.assert_allclose(run_float(graph, DATA), runtime(made, DATA), rtol=1e-5, atol=1e-5)


REFUSED = {
    "a power below one": (
        [node("LpPool", ["c"], kernel_shape=[2, 2], p=0)],
        "p must be at least 1",
    ),
    "another norm": ([node("LpNormalization", ["c"], p=3)], "p must be 1 or 2, not 3"),
    "whole numbers": (
        [node("Cast", ["c"], to=7)],
        "Cast of values that depend on the input must be to floating point, not to INT64",
    ),
    "products of a batch": ([node("ReduceProd", ["c"])], "along axis 0 would mix the samples"),
    "parts of a definition": (
        [node("MeanVarianceNormalization", ["c"])],
        r"node MeanVarianceNormalization_y.X_RM__1 \(ReduceMean\): .* mix the samples",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(tmp_path: Path, name: str) -> None:
    nodes, message = REFUSED[name]
    with pytest.raises(InputError, match=message):
        import_onnx(write(tmp_path, network(nodes, {})))


@pytest.mark.parametrize("kind", ["ArgMax", "ArgMin"])
@pytest.mark.parametrize("last", [0, 1])
@pytest.mark.parametrize(("axis", "keep"), [(1, 1), (2, 0), (-1, 1)])
def test_places_by_the_host(tmp_path: Path, kind: str, last: int, axis: int, keep: int) -> None:
    call = node(kind, ["x"], axis=axis, keepdims=keep, select_last_index=last)
    made = model([call], {}, ("N", *SHAPE), result=7)
    data = RNG.integers(0, 4, (2, *SHAPE)).astype(np.float32)
    graph, wanted = import_onnx(write(tmp_path, made)), runtime(made, data)
    np.testing.assert_array_equal(run_float(graph, data), wanted)
    program = compiler.compile(graph, PRESETS["small"], batch=2, calibration=data)
    np.testing.assert_array_equal(ran(program, data), wanted)


def test_places_of_vectors(tmp_path: Path) -> None:
    made = model([node("ArgMax", ["x"], axis=1, keepdims=0)], {}, ("N", 7), result=7)
    data = RNG.integers(0, 4, (3, 7)).astype(np.float32)
    graph = import_onnx(write(tmp_path, made))
    np.testing.assert_array_equal(run_float(graph, data), runtime(made, data))
    program = compiler.compile(graph, PRESETS["small"], batch=3, calibration=data)
    np.testing.assert_array_equal(ran(program, data), runtime(made, data))


def ran(program: Program, data: np.ndarray) -> np.ndarray:
    """What a host makes of the golden model's result."""
    (source,), (target,) = program.with_role("input"), program.with_role("output")
    memory = with_arrays(program, {source.name: data.astype(np.float64)})
    return real_values(unpack(execute(program, memory), target, program.config), target)


def test_places_inside_are_refused(tmp_path: Path) -> None:
    nodes = [
        node("ArgMax", ["c"], "a", axis=1),
        node("Cast", ["a"], "f", to=1),
        node("Relu", ["f"]),
    ]
    graph = import_onnx(write(tmp_path, network(nodes, {})))
    with pytest.raises(InputError, match="ArgMax_a: Argmax is only possible as the last operator"):
        compiler.compile(graph, PRESETS["small"], calibration=DATA)
