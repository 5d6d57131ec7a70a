"""LSTM, GRU and RNN of ONNX files: they compute what ONNX Runtime does, or are refused by name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import NodeProto, helper
from onnxruntime import InferenceSession

import pulsarray as pa
from pulsarray.compiler.importers.onnx.importer import import_onnx
from pulsarray.compiler.interpreter import inputs_from_host, run_float
from pulsarray.compiler.reference.run import run_in_order
from pulsarray.errors import InputError
from tests.compiler.onnx_files import model, node, write
from tests.compiler.test_onnx_float_graphs import runtime

STEPS, INPUTS, HIDDEN = 4, 3, 5
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
Arrays = Mapping[str, np.ndarray]
NONE: Arrays = {}


def parameters(kind: str, directions: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Random weights and biases."""
    rng, gates = np.random.default_rng(seed), GATES[kind]
    shapes = {
        "w": (directions, gates * HIDDEN, INPUTS),
        "r": (directions, gates * HIDDEN, HIDDEN),
        "b": (directions, 2 * gates * HIDDEN),
    }
    return {name: rng.normal(0, 0.6, s).astype(np.float32) for name, s in shapes.items()}


def network(kind: str, constants: Arrays, more: tuple[str, ...] = (), **entries: Any) -> Any:
    """(N, T, I) to the hidden states of all steps, (N, T, directions x H)."""
    width = constants["w"].shape[0] * HIDDEN
    nodes = [
        node("Transpose", ["x"], "s", perm=[1, 0, 2]),
        node(kind, ["s", "w", "r", "b", *more], "y", hidden_size=HIDDEN, **entries),
        node("Transpose", ["y"], "t", perm=[2, 0, 1, 3]),
        node("Reshape", ["t", "shape"], "out"),
    ]
    constants = {**constants, "shape": np.array([0, STEPS, width])}
    return made_of(nodes, constants, 2)


def made_of(nodes: list[NodeProto], constants: Mapping[str, np.ndarray], axes: int) -> Any:
    made = model(nodes, constants, ("N", STEPS, INPUTS), outputs=("out",), opset=20)
    del made.graph.output[0].type.tensor_type.shape.dim[1:]
    made.graph.output[0].type.tensor_type.shape.dim.extend(
        onnx.TensorShapeProto.Dimension(dim_param=f"d{k}") for k in range(axes)
    )
    return made


def samples(count: int = 6) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(count, STEPS, INPUTS)).astype(np.float32)


def compare(path: Path, made: Any) -> None:
    inputs = samples()
    graph = import_onnx(write(path, made))
    wanted = runtime(made, inputs)
    np.testing.assert_allclose(run_float(graph, inputs).reshape(wanted.shape), wanted, atol=1e-5)


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize(
    ("kind", "entries"),
    [("LSTM", {}), ("GRU", {}), ("GRU", {"linear_before_reset": 1}), ("RNN", {})],
)
def test_all_states(tmp_path: Path, kind: str, entries: dict[str, int], direction: str) -> None:
    constants = parameters(kind, 2 if direction == "bidirectional" else 1)
    compare(tmp_path, network(kind, constants, direction=direction, **entries))


@pytest.mark.parametrize(
    ("kind", "entries"),
    [("LSTM", {}), ("GRU", {}), ("GRU", {"linear_before_reset": 1}), ("RNN", {})],
)
def test_initial_states(tmp_path: Path, kind: str, entries: dict[str, int]) -> None:
    rng, constants = np.random.default_rng(3), parameters(kind, 1)
    more = ["", "h"]
    constants["h"] = np.tile(rng.normal(size=(1, 1, HIDDEN)), (1, 6, 1)).astype(np.float32)
    if kind == "LSTM":
        more.append("c")
        constants["c"] = np.tile(rng.normal(size=(1, 1, HIDDEN)), (1, 6, 1)).astype(np.float32)
    compare(tmp_path, network(kind, constants, tuple(more), **entries))


def test_peepholes(tmp_path: Path) -> None:
    rng, constants = np.random.default_rng(5), parameters("LSTM", 2)
    constants["p"] = rng.normal(size=(2, 3 * HIDDEN)).astype(np.float32)
    made = network("LSTM", constants, ("", "", "", "p"), direction="bidirectional")
    compare(tmp_path, made)


@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
def test_two_layers(tmp_path: Path, direction: str) -> None:
    """Steps of the input are columns, those of the second layer the first one's states."""
    count = 2 if direction == "bidirectional" else 1
    constants = parameters("GRU", count)
    rng = np.random.default_rng(4)
    shapes = {"w2": (count, 3 * HIDDEN, count * HIDDEN), "r2": (count, 3 * HIDDEN, HIDDEN)}
    constants |= {name: rng.normal(0, 0.5, s).astype(np.float32) for name, s in shapes.items()}
    constants |= {"rows": np.array([0, 0, -1]), "shape": np.array([0, STEPS, count * HIDDEN])}
    entries = {"hidden_size": HIDDEN, "direction": direction}
    nodes = [
        node("Transpose", ["x"], "s", perm=[1, 0, 2]),
        node("GRU", ["s", "w", "r", "b"], "y", **entries),
        node("Transpose", ["y"], "t", perm=[0, 2, 1, 3]),
        node("Reshape", ["t", "rows"], "u"),
        node("GRU", ["u", "w2", "r2"], "v", **entries),
        node("Transpose", ["v"], "q", perm=[2, 0, 1, 3]),
        node("Reshape", ["q", "shape"], "out"),
    ]
    made = made_of(nodes, constants, 2)
    compare(tmp_path, made)
    graph = import_onnx(write(tmp_path, made))
    cut = {n.output for n in graph.nodes if n.output.endswith((" inside", " chosen"))}
    ways = ("step", "back")[:count]
    assert cut == {f"y.{way}{step}.gather inside" for way in ways for step in range(STEPS)}


@pytest.mark.parametrize("place", [1, 2])
def test_the_last_state_and_cell(tmp_path: Path, place: int) -> None:
    outputs = ["", "", ""]
    outputs[place] = "last"
    recurrent = onnx.helper.make_node(
        "LSTM", ["s", "w", "r", "b"], outputs, name="lstm", hidden_size=HIDDEN
    )
    nodes = [node("Transpose", ["x"], "s", perm=[1, 0, 2]), recurrent]
    nodes.append(node("Squeeze", ["last", "axes"], "out"))
    constants = parameters("LSTM", 1) | {"axes": np.array([0])}
    compare(tmp_path, made_of(nodes, constants, 1))


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_int8_on_the_machine_is_near(tmp_path: Path, kind: str) -> None:
    made, inputs = network(kind, parameters(kind, 1)), samples(16)
    program = pa.load(write(tmp_path, made)).quantize(inputs).compile("small", batch=16)
    computed, wanted = program.run(inputs).output, runtime(made, inputs)
    error = np.sqrt(np.mean((computed.reshape(wanted.shape) - wanted) ** 2) / np.mean(wanted**2))
    assert error < 0.05, error


def test_what_is_refused(tmp_path: Path) -> None:
    def message(kind: str, more: tuple[str, ...] = (), extra: Arrays = NONE, **entries: Any) -> str:
        constants = {**parameters(kind, 1), **extra}
        with pytest.raises(InputError) as error:
            import_onnx(write(tmp_path, network(kind, constants, more, **entries)))
        return str(error.value)

    lengths = {"n": np.full(6, STEPS, np.int32)}
    assert "LSTM with sequence_lens is not supported" in message("LSTM", ("n",), lengths)
    few = {"p": np.ones((1, 2 * HIDDEN), np.float32)}
    assert "peepholes must have 1 x 15 elements" in message("LSTM", ("", "", "", "p"), few)
    assert "GRU with clip is not supported" in message("GRU", clip=1.0)
    assert "RNN with layout 1 needs the batch as axis 0" in message("RNN", layout=1)
    states = {"h": np.arange(6 * HIDDEN, dtype=np.float32).reshape(1, 6, HIDDEN)}
    assert "must be one for all samples" in message("GRU", ("", "h"), states)
    small = {"h": np.ones((1, 6, HIDDEN - 1), np.float32)}
    assert "must have 1 directions of 5 elements" in message("LSTM", ("", "h"), small)
    assert "activations must be 1 of" in message("RNN", activations=["Softsign"])


def one_step(kind: str, transposed: bool, **entries: Any) -> onnx.ModelProto:
    """A step of a network whose states are inputs and outputs, as exporters write it."""
    constants = {**parameters(kind, 1), "m": np.eye(HIDDEN, 2, dtype=np.float32), "zero": [0]}
    states = ["h", "c"][: 1 + (kind == "LSTM")]
    source = "s" if transposed else "x"
    nodes = [
        *([node("Transpose", ["x"], "s", perm=[1, 0, 2])] if transposed else []),
        node(kind, [source, "w", "r", "b", "", *states], "", hidden_size=HIDDEN, **entries),
        node("Squeeze", ["next h", "zero"], "flat"),
        node("MatMul", ["flat", "m"], "out"),
    ]
    nodes[-3].output[:] = ["", *(f"next {name}" for name in states)]
    arrays = {name: np.asarray(array) for name, array in constants.items()}
    made = model(nodes, arrays, (1, 1, INPUTS), outputs=("out",), opset=20)
    made.graph.output[0].CopyFrom(value("out", (1, 2)))
    for name in states:
        made.graph.input.append(value(name, (1, 1, HIDDEN)))
        made.graph.output.append(value(f"next {name}", (1, 1, HIDDEN)))
    return made


def value(name: str, shape: tuple[int, ...]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize(
    ("kind", "entries"),
    [("LSTM", {}), ("GRU", {}), ("GRU", {"linear_before_reset": 1}), ("RNN", {})],
)
def test_streaming(tmp_path: Path, kind: str, entries: dict[str, int], transposed: bool) -> None:
    """One step a run: in real numbers as ONNX Runtime, step by step, and near it in int8."""
    made = one_step(kind, transposed, **entries)
    session = InferenceSession(made.SerializeToString())
    names = [output.name for output in session.get_outputs()]
    states = {f"next {v.name}": v.name for v in made.graph.input[1:]}
    held = {name: np.zeros((1, 1, HIDDEN), np.float32) for name in states.values()}
    inputs, wanted = samples()[:, :1], []
    for row in inputs:
        results = dict(zip(names, session.run(None, {"x": row[None], **held}), strict=True))
        held = {name: results[output] for output, name in states.items()}
        wanted.append(results["out"])
    network = pa.load(write(tmp_path, made), states=states)
    computed = run_in_order(network.graph, inputs_from_host(network.graph, inputs))["out"]
    np.testing.assert_allclose(computed.reshape(-1, 1, 2), wanted, atol=1e-5)
    program, run = network.quantize(inputs).compile("tiny"), None
    for number, row in enumerate(inputs):
        run = program.run(row[None], after=run)
        np.testing.assert_allclose(run.outputs["out"], wanted[number], atol=0.1)


def test_initial_state_wrong(tmp_path: Path) -> None:
    made = one_step("GRU", transposed=False)
    made.graph.input[1].type.tensor_type.shape.dim[2].dim_value = HIDDEN + 1
    with pytest.raises(InputError, match="initial state 'h' must have 1 directions of 5"):
        import_onnx(write(tmp_path, made))
