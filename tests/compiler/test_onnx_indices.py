"""Inputs of whole numbers in ONNX files: tables' rows, comparisons, and real numbers of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import NodeProto, TensorProto

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

TOKENS, KINDS, WIDTH = 6, 9, 4
RNG = np.random.default_rng(3)
IDS = RNG.integers(0, KINDS, (12, TOKENS))
TABLE = RNG.normal(size=(KINDS, WIDTH)).astype(np.float32)
ADD = [node("Add", ["e", "p"], "a"), node("Relu", ["a"])]
POSITION = {"p": RNG.normal(size=(1, 1, WIDTH)).astype(np.float32)}
ONE_HOT = node("MatMul", ["o", "t"], "e")

WAYS: dict[str, tuple[list[NodeProto], dict[str, np.ndarray]]] = {
    "a table's rows": ([node("Gather", ["t", "x"], "e")], {}),
    "one-hot rows": (
        [node("OneHot", ["x", "depth", "values"], "o"), ONE_HOT],
        {"depth": np.int64(KINDS), "values": np.array([0, 1], np.float32)},
    ),
    "comparisons, as JAX writes them": (
        [
            node("Reshape", ["x", "column"], "c"),
            node("Shape", ["x"], "s"),
            node("Concat", ["s", "kinds"], "wide", axis=0),
            node("Expand", ["c", "wide"], "r"),
            node("Equal", ["r", "all"], "b"),
            node("Cast", ["b"], "o", to=TensorProto.FLOAT),
            ONE_HOT,
        ],
        {
            "column": np.array([-1, TOKENS, 1]),
            "kinds": np.array([KINDS]),
            "all": np.arange(KINDS).reshape(1, 1, KINDS),
        },
    ),
    "rows of what a slice keeps": (
        [
            node("Slice", ["x", "one", "five", "one"], "s"),
            node("Cast", ["s"], "l", to=TensorProto.INT32),
            node("Gather", ["t", "l"], "e"),
        ],
        {"one": np.array([1]), "five": np.array([5])},
    ),
}


def compiled(tmp_path: Path, made: onnx.ModelProto, samples: np.ndarray) -> Program:
    """The program of a file, as it is read again."""
    graph = import_onnx(write(tmp_path, made))
    program = compiler.compile(graph, PRESETS["small"], batch=2, calibration=samples)
    program.save(tmp_path / "net.pulse")
    return Program.load(tmp_path / "net.pulse")


def results(program: Program, samples: np.ndarray) -> np.ndarray:
    """What the model computes, as real numbers."""
    memory = with_arrays(program, {"x": samples})
    (target,) = program.with_role("output")
    return real_values(unpack(execute(program, memory), target, program.config), target)


@pytest.mark.parametrize(("nodes", "constants"), WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("batch", ["N", 1])
def test_rows_of_a_table(
    tmp_path: Path, nodes: list[NodeProto], constants: dict[str, np.ndarray], batch: int | str
) -> None:
    everything = {"t": TABLE, **POSITION, **constants}
    made = model([*nodes, *ADD], everything, (batch, TOKENS), element=TensorProto.INT64)
    del made.graph.output[0].type.tensor_type.shape.dim[:]
    wanted = np.concatenate([runtime(made, row[None]) for row in IDS])
    np.testing.assert_allclose(
        run_float(import_onnx(write(tmp_path, made)), IDS), wanted, rtol=0, atol=1e-6
    )
    program = compiled(tmp_path, made, IDS)
    error = results(program, IDS[:2]) - wanted[:2]
    assert np.abs(error).max() < 0.02 * np.abs(wanted).max()
    np.testing.assert_array_equal(
        results(program, IDS[:2]), results(program, IDS[:2].astype(np.float64))
    )


def test_pixels_of_8_bits(tmp_path: Path) -> None:
    nodes = [
        node("Cast", ["x"], "f", to=TensorProto.FLOAT),
        node("Mul", ["f", "s"], "m"),
        node("Conv", ["m", "w"]),
    ]
    constants = {
        "s": np.float32(1 / 255),
        "w": RNG.normal(size=(4, 3, 3, 3)).astype(np.float32),
    }
    made = model(nodes, constants, ("N", 3, 8, 8), element=TensorProto.UINT8)
    del made.graph.output[0].type.tensor_type.shape.dim[:]
    images = RNG.integers(0, 256, (6, 3, 8, 8)).astype(np.uint8)
    wanted = runtime(made, images)
    graph = import_onnx(write(tmp_path, made))
    np.testing.assert_allclose(run_float(graph, images), wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ([node("Mul", ["x", "x"])], "Mul of 'x', 'x' is not possible; whole numbers of an input"),
        (
            [node("Gather", ["t", "x"], "a"), node("Gather", ["u", "x"], "b"),
             node("Add", ["a", "b"])],
            "'x' is read as one of 5, elsewhere as one of 9",
        ),
        (
            [node("Gather", ["t", "x"], "a"), node("Cast", ["x"], "f", to=1), node("Relu", ["f"])],
            "'x' is read as one of 9, and as real numbers",
        ),
        ([node("Relu", ["x"])], "Relu of 'x' is not possible"),
        ([node("Gather", ["t", "x"], axis=1)], "must have rows along axis 0"),
    ],
)  # fmt: skip
def test_what_is_refused(tmp_path: Path, nodes: list[NodeProto], message: str) -> None:
    constants = {"t": TABLE, "u": TABLE[:5]}
    made = model(nodes, constants, ("N", TOKENS), element=TensorProto.INT64)
    del made.graph.output[0].type.tensor_type.shape.dim[:]
    with pytest.raises(InputError, match=message):
        import_onnx(write(tmp_path, made))


@pytest.mark.parametrize("wrong", [-1, KINDS, 0.5])
def test_numbers_that_have_no_row(tmp_path: Path, wrong: float) -> None:
    nodes, constants = WAYS["a table's rows"]
    everything = {"t": TABLE, **POSITION, **constants}
    made = model([*nodes, *ADD], everything, ("N", TOKENS), element=TensorProto.INT64)
    program = compiled(tmp_path, made, IDS)
    samples = IDS[:2].astype(np.float64)
    samples[1, 2] = wrong
    with pytest.raises(InputError, match=r"x: (must be|values must be) whole numbers"):
        results(program, samples)
    with pytest.raises(InputError, match="input: x: must be whole numbers from 0 to 8"):
        run_float(import_onnx(tmp_path / "net.onnx"), samples)
