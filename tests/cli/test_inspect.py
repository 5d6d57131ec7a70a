"""The layers of networks: built in, in files, compiled, and what cannot be compiled."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from pulsarray import compiler
from pulsarray.api.inspecting import inspect, inspect_source
from pulsarray.api.source import Source, load_source
from pulsarray.compiler.builder import Builder
from pulsarray.compiler.importers.inspection import (
    HOST,
    MEMORY,
    NOTHING,
    VECTOR,
    inspect_graph,
)
from pulsarray.compiler.ir.graph import Graph
from pulsarray.config import PRESETS
from pulsarray.errors import InputError
from tests.cli.conftest import Command
from tests.compiler.float_graphs import random_graph


def odd_network(path: Path) -> None:
    """Conv, then two operators that nothing supports."""
    weight = np.zeros((4, 3, 3, 3), np.float32)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], name="conv", pads=[1, 1, 1, 1]),
        helper.make_node("Einsum", ["c"], ["e"], name="odd", equation="bchw->bchw"),
        helper.make_node("Det", ["e"], ["y"], name="odder"),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(weight, "w")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)


def test_table(command: Command) -> None:
    done = command("inspect", "resnet8")
    assert done.code == 0, done.err
    lines = {line.split()[0]: line for line in done.out.splitlines() if line.strip()}
    assert lines["stack2_conv1"].split()[2:] == [
        "32x32x16",
        "16x16x32",
        "1,179,648",
        "4,640",
        "yes",
        "array",
    ]
    assert lines["norm_conv"].endswith("in conv")
    assert lines["softmax"].endswith("host")
    assert lines["total"].split() == ["total", "12,501,632", "78,186"]
    assert "30 operators, all supported" in lines["resnet8"]


def test_json(command: Command) -> None:
    done = command("inspect", "mnist-mlp", "--json")
    data = json.loads(done.out)
    assert (data["macs"], data["parameters"], data["supported"]) == (12960, 13002, True)
    assert data["layers"][0] == {
        "name": "fc1",
        "operator": "Dense",
        "inputs": [[784]],
        "output": [16],
        "macs": 12544,
        "parameters": 12560,
        "supported": True,
        "place": "array",
    }


def test_after_a_pass(command: Command, tmp_path: Path) -> None:
    done = command("inspect", "mnist-mlp", "--after", "maps")
    assert done.code == 0, done.err
    assert "%fc1_out: 1x1x16 real = convolution(%image, @fc1.weight, @fc1.bias)" in done.out
    done = command("inspect", "mnist-mlp", "--after", "quantize", "--config", "small")
    assert "= int8_convolution(%image, @fc1.weight, @fc1.bias)" in done.out
    done = command("inspect", "mnist-mlp", "--after", "quantise")
    assert done.code == 2
    assert "not 'quantise'; did you mean 'quantize'?" in done.err
    path = tmp_path / "net.onnx"
    odd = helper.make_node("Relu", ["x"], ["y"], name="relu")
    save(path, [odd], ["n", 3, 8, 8])
    assert command("inspect", path, "--after", "norms").code == 0
    done = command("inspect", path, "--after", "quantize")
    assert (done.code, "--calibrate X.npz" in done.err) == (2, True)
    assert command("inspect", path, "--calibrate", "x.npz").code == 2


def test_after_a_pass_of_training(command: Command) -> None:
    done = command("inspect", "mnist-mlp", "--training")
    assert done.code == 0, done.err
    assert "shared16(fc1.error) = gradient(%fc1.output, %fc2.pull) of=relu()" in done.out
    done = command("inspect", "mnist-mlp", "--training", "--after", "frozen")
    assert done.code == 0, done.err
    assert "loss=mse" in done.out
    assert "gradient(" not in done.out.replace("loss_gradient(", "")
    line = ["inspect", "mnist-mlp", "--training", "--after", "updates", "--optimizer", "adamw"]
    done = command(*line, "--momentum", 0.8)
    assert done.code == 0, done.err
    assert "momentum(&fc1.weight.velocity, %fc1.weight.gradient) kept=0.8" in done.out
    assert "state &fc1.weight.squares: 1x1x784x16 real" in done.out
    assert "%fc1.weight.decayed" in done.out
    done = command("inspect", "mnist-mlp", "--after", "norms", "--momentum", 0.8)
    assert (done.code, "only with --training" in done.err) == (2, True)
    done = command("inspect", "mnist-mlp", "--training", "--after", "quantize")
    assert (done.code, "must be one of ends, maps" in done.err) == (2, True)


def test_gemm_and_programs(command: Command, gemm: Path) -> None:
    for source in ("gemm:6x9x5", gemm):
        (layer,) = json.loads(command("inspect", source, "--json").out)["layers"]
        assert (layer["macs"] * (6 if source == gemm else 1), layer["output"]) == (270, [6, 5])
    assert command("inspect", gemm, "--config", "base").code == 2


def test_unsupported_operators_are_in_the_table(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    odd_network(path)
    done = command("inspect", path)
    assert done.code == 1
    rows = {line.split()[0]: line.split() for line in done.out.splitlines() if line.strip()}
    assert rows["conv"][1:] == ["Conv", "3x8x8", "4x8x8", "6,912", "108", "yes", "array"]
    assert rows["odd"][-1] == "no"
    assert done.err == f"pulsarray: {path}: not supported: Einsum (odd), Det (odder)\n"
    data = json.loads(command("inspect", path, "--json").out)
    assert data["supported"] is False
    assert [layer["supported"] for layer in data["layers"]] == [True, False, False]


def save(path: Path, nodes: list[onnx.NodeProto], shape: list[str | int]) -> Path:
    """A file of these operators, w a filter and c a condition."""
    result = ["n", "a", "b", "c"]
    constants = {"w": np.ones((4, 3, 3, 3), np.float32), "c": np.array(True)}
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, result)],
        [numpy_helper.from_array(v, k) for k, v in constants.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
    return path


def rows_of(
    command: Command, path: Path, *, supported: bool = False
) -> dict[str, dict[str, object]]:
    data = json.loads(command("inspect", path, "--json").out)
    assert data["supported"] == supported
    return {row["name"]: row for row in data["layers"]}


def test_softmax_in_the_middle_is_not_the_hosts(command: Command, tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Softmax", ["x"], ["s"], name="middle", axis=1),
        helper.make_node("Conv", ["s", "w"], ["y"], name="conv"),
    ]
    path = save(tmp_path / "net.onnx", nodes, ["n", 3, 8, 8])
    row = rows_of(command, path, supported=True)["middle"]
    assert (row["supported"], row["place"]) == (True, "in middle.divide4.multiply1")


def test_sizes_that_are_not_known(command: Command, tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], name="conv"),
        helper.make_node("Det", ["a"], ["y"], name="odd"),
    ]
    path = save(tmp_path / "net.onnx", nodes, ["n", 3, "h", "w"])
    assert rows_of(command, path)["conv"]["macs"] is None
    assert "at least 0 MACs a sample" in command("inspect", path).out


def test_what_runs_a_body_is_named_without_it(command: Command, tmp_path: Path) -> None:
    result = helper.make_tensor_value_info("b", TensorProto.FLOAT, None)
    inner = helper.make_node("Relu", ["x"], ["b"], name="inner")
    body = helper.make_graph([inner], "body", [], [result])
    node = helper.make_node("If", ["x"], ["y"], name="if", then_branch=body, else_branch=body)
    rows = rows_of(command, save(tmp_path / "net.onnx", [node], ["n", 3, 8, 8]))
    assert [(row["name"], row["supported"]) for row in rows.values()] == [("if", False)]
    assert rows["if"]["place"].startswith("whose condition depends on the input (--set-input")


def test_the_row_that_a_problem_is_about(command: Command, tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Relu", ["x"], ["r"], name="relu"),
        helper.make_node("Concat", ["r", "r"], ["y"], name="join", axis=0),
    ]
    rows = rows_of(command, save(tmp_path / "net.onnx", nodes, ["n", 3, 8, 8]))
    assert [row["supported"] for row in rows.values()] == [True, False]
    assert rows["join"]["place"] == "Concat must be along an axis from 1 to 3, not 0"


def test_supported_is_what_compiles(tmp_path: Path) -> None:
    """Of random graphs: all rows say yes if, and only if, the graph is compiled."""
    verdicts = [is_told_right(tmp_path / "net.onnx", seed) for seed in range(7000, 7040)]
    assert {True, False} == set(verdicts)


@pytest.mark.slow
def test_supported_is_what_compiles_of_many(tmp_path: Path) -> None:
    for seed in range(8000, 8500):
        is_told_right(tmp_path / "net.onnx", seed)


def is_told_right(path: Path, seed: int) -> bool:
    """Whether a random graph is supported, which must be what compiling it shows."""
    draw = random_graph(seed)
    onnx.save(draw.model(), path)
    told = inspect(path, "base").inspection
    says_yes = not told.problem and not told.unsupported
    samples, reason = draw.rng.normal(size=(4, *draw.input)), ""
    try:
        network = load_source(str(path)).network
        assert isinstance(network, Graph)
        compiler.compile(network, PRESETS["base"], calibration=samples)
    except InputError as error:
        reason = str(error)
    assert says_yes == (not reason), f"seed {seed}: {reason or told.problem or told.unsupported}"
    return says_yes


def test_what_a_machine_lacks() -> None:
    graph = Builder("net", (4, 4, 2)).sigmoid("curve").local_response_norm(3).build()
    for name, value, bad in (("tables", 0, 2), ("vector_multiply", False, 1)):
        config = replace(PRESETS["small"], **{name: value})
        assert len(inspect_graph(graph, config).unsupported) == bad


def test_what_a_machine_has_no_room_for() -> None:
    graph = (
        Builder("net", (32, 32, 2)).relu().flatten().dense(np.ones((2048, 3)), name="wide").build()
    )
    rows = inspect_source(Source("net", graph), PRESETS["tiny"]).rows
    assert [row.supported for row in rows] == [True, True, False]
    place = "no tile of (32, 32) over 1 columns fits banks of 512 words; use a larger"
    assert rows[-1].place == f"{place} scratchpad_depth"
    assert not inspect_source(Source("net", graph), PRESETS["base"]).unsupported


def test_places() -> None:
    weight = np.ones((1, 1, 2, 2))
    graph = (
        Builder("net", (4, 4, 2))
        .pad(1)
        .convolution(weight, name="conv")
        .tanh("curve")
        .dropout()
        .max_pool(2, name="pool")
        .concat("pool", name="both")
        .sigmoid("alone")
        .flatten()
        .softmax()
        .build()
    )
    rows = {row.name: row.place for row in inspect_graph(graph).rows}
    assert rows == {
        "pad": "in conv",
        "conv": "array",
        "curve": "in conv",
        "dropout": NOTHING,
        "pool": VECTOR,
        "both": MEMORY,
        "alone": VECTOR,
        "flatten": NOTHING,
        "softmax": HOST,
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["lunch"], "must be an .onnx, .tflite or .nir file, .pulse file, gemm:MxKxN, mnist-mlp"),
        (["none.onnx"], "none.onnx: cannot read"),
        (["none.tflite"], "none.tflite: cannot read"),
        (["none.pulse"], "none.pulse: cannot read"),
        (["lenet", "--shape", "1x28x28"], "--shape: only for network files, not"),
        (["none.onnx", "--shape", "3x"], "expected positive numbers as 3x224x224, not '3x'"),
        (["gemm:4x4"], "expected gemm:MxKxN"),
    ],
)
def test_refused(command: Command, arguments: list[str], message: str) -> None:
    done = command("inspect", *arguments)
    assert done.code == 2
    assert message in done.err


@pytest.mark.parametrize("ending", ["onnx", "tflite"])
def test_files_that_are_none(command: Command, tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"net.{ending}"
    path.write_text("hello")
    done = command("inspect", path)
    assert done.code == 2
    assert f"{path}: not a valid" in done.err
    assert done.err.count("\n") == 1
