"""Networks of feature maps by name and from files, compiled and timed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from pulsarray.api.network import compile_source
from pulsarray.api.source import load_source
from pulsarray.compiler.builder import Builder
from pulsarray.compiler.importers.onnx import importer as onnx_import
from pulsarray.compiler.importers.tflite import importer as tflite_import
from pulsarray.compiler.ir.graph import Graph
from pulsarray.compiler.passes.pipeline import quantize_graph
from pulsarray.config import PRESETS
from pulsarray.program import Program
from tests.cli.conftest import Command

RNG = np.random.default_rng(5)


def convolution_file(path: Path, size: int | str = 6) -> None:
    """Conv, Relu, GlobalAveragePool, Flatten, Gemm for images of 2 channels."""
    arrays = {
        "w": RNG.normal(size=(4, 2, 3, 3)),
        "b": RNG.normal(size=4),
        "m": RNG.normal(size=(4, 3)),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["c"], name="conv"),
        helper.make_node("Relu", ["c"], ["r"], name="relu"),
        helper.make_node("GlobalAveragePool", ["r"], ["p"], name="pool"),
        helper.make_node("Flatten", ["p"], ["f"], name="flatten"),
        helper.make_node("Gemm", ["f", "m"], ["y"], name="fc"),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2, size, size])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])],
        [numpy_helper.from_array(a.astype(np.float32), name) for name, a in arrays.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)


def quantized() -> Graph:
    weight = RNG.normal(size=(3, 3, 2, 4))
    graph = Builder("net", (6, 6, 2)).convolution(weight).relu().max_pool(2).build()
    return quantize_graph(graph, RNG.normal(size=(4, 6, 6, 2)), PRESETS["tiny"])


def test_built_in_feature_maps(command: Command) -> None:
    done = command("estimate", "resnet8", "--config", "base", "--batch", "2", "--json")
    assert done.code == 0, done.err
    report = json.loads(done.out)
    assert (report["network"], report["batch"]) == ("resnet8", 2)
    assert report["macs"] == 2 * 12_501_632


def test_built_in_with_other_calibration(command: Command, tmp_path: Path) -> None:
    samples, program = tmp_path / "x.npz", tmp_path / "p.pulse"
    np.savez(samples, x=RNG.uniform(0.0, 1.0, (2, 32, 32, 3)))
    done = command("compile", "resnet8", "--calibrate", samples, "-o", program)
    assert done.code == 0, done.err
    source = Program.load(program).tensor("image")
    assert source.zero_point == -128
    assert source.scale == pytest.approx(1 / 255, rel=0.01)
    np.savez(samples, x=np.zeros((2, 3, 32, 32)))
    done = command("compile", "resnet8", "--calibrate", samples, "-o", program)
    assert "x.npz: shape must be (samples, 32, 32, 3), not (2, 3, 32, 32)" in done.err


def test_perceptrons_are_compiled_as_products() -> None:
    program = compile_source(
        "mnist-mlp", PRESETS["small"], batch=4, calibrate=None, sums=False, seed=None
    )
    assert [layer.kind for layer in program.layers] == ["dense+relu", "dense+relu", "dense"]
    assert not program.tensor("image").image


def test_onnx_of_feature_maps(command: Command, tmp_path: Path) -> None:
    path, samples = tmp_path / "net.onnx", tmp_path / "x.npz"
    convolution_file(path)
    done = command("estimate", path, "-c", "tiny")
    assert done.code == 2
    assert "samples of the input 'x', an array of shape (samples, 2, 6, 6)" in done.err
    np.savez(samples, x=RNG.normal(size=(5, 2, 6, 6)))
    program = tmp_path / "p.pulse"
    done = command("compile", path, "-c", "tiny", "--calibrate", samples, "-o", program, "-b", "2")
    assert done.code == 0, done.err
    assert command("simulate", program).code == 0
    assert command("inspect", program).code == 0
    assert command("inspect", path).code == 0


def test_open_sizes(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    convolution_file(path, "side")
    assert command("inspect", path).code == 1
    done = command("inspect", path, "--shape", "2x9x7", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["layers"][0]["output"] == [7, 5, 4]
    network = load_source(str(path), (2, 9, 7)).network
    assert not network.is_quantized
    assert network.input.shape == (9, 7, 2)


@pytest.mark.parametrize("ending", ["onnx", "tflite"])
def test_int8_files(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    network = quantized()
    monkeypatch.setattr(tflite_import, "import_tflite", lambda *_: network)
    monkeypatch.setattr(onnx_import, "import_onnx_any", lambda _, **__: network)
    path, program = tmp_path / f"some.{ending}", tmp_path / "p.pulse"
    done = command("compile", path, "-c", "tiny", "-o", program, "--batch", "3", "--json")
    assert done.code == 0, done.err
    facts = json.loads(done.out)
    assert (facts["network"], facts["batch"]) == ("some", 3)
    assert facts["inputs"][0]["shape"] == [3, 6, 6, 2]
    assert facts["macs"] == 3 * network.macs
    done = command("compile", path, "--calibrate", "x.npz", "-o", program)
    assert done.code == 2
    assert f"--calibrate: not for {path}, which is in int8 already" in done.err
    listing = json.loads(command("inspect", path, "--json").out)
    assert [layer["operator"] for layer in listing["layers"]] == ["conv+relu", "maxpool"]
    assert listing["macs"] == network.macs
