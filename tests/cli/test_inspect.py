"""The layers of networks: built in, in files, compiled, and what cannot be compiled."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from pulsarray.compiler.builder import Builder
from pulsarray.compiler.importers.inspection import HOST, MEMORY, NOTHING, VECTOR, inspect_graph
from pulsarray.compiler.spatial import LocalResponseNorm
from pulsarray.config import PRESETS
from tests.cli.conftest import Command


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


def test_what_a_machine_lacks() -> None:
    graph = Builder("net", (4, 4, 2)).sigmoid("curve").local_response_norm(3).build()
    assert isinstance(graph.nodes[1], LocalResponseNorm)
    for name, value, bad in (("tables", 0, 2), ("vector_multiply", False, 1)):
        config = replace(PRESETS["small"], **{name: value})
        assert len(inspect_graph(graph, config).unsupported) == bad


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
        (["lunch"], "must be an .onnx or .tflite file, .pulse file, gemm:MxKxN, mnist-mlp"),
        (["none.onnx"], "none.onnx: cannot read"),
        (["none.tflite"], "none.tflite: cannot read"),
        (["none.pulse"], "none.pulse: cannot read"),
        (["lenet", "--shape", "1x28x28"], "--shape: only for ONNX files, not for lenet"),
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
