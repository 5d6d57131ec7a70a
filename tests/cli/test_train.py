"""train: what it prints and writes, what it refuses, going on from a checkpoint."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from pulsarray.report.schema import check_report
from tests.cli.conftest import Command, complaints


@pytest.fixture
def network_and_data(tmp_path: Path) -> tuple[Path, Path]:
    """A network with one hidden layer, and data for it."""
    rng = np.random.default_rng(1)
    weights = {
        "w0": rng.normal(size=(3, 4)).astype(np.float32) / 2,
        "b0": np.zeros(4, np.float32),
        "w1": rng.normal(size=(4, 2)).astype(np.float32) / 2,
        "b1": np.zeros(2, np.float32),
    }
    graph = helper.make_graph(
        [
            helper.make_node("Gemm", ["x", "w0", "b0"], ["h"], name="first"),
            helper.make_node("Tanh", ["h"], ["a"], name="act"),
            helper.make_node("Gemm", ["a", "w1", "b1"], ["y"], name="second"),
        ],
        "own",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2])],
        [numpy_helper.from_array(values, name) for name, values in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    network, data = tmp_path / "own.onnx", tmp_path / "d.npz"
    onnx.save(model, network)
    x = rng.uniform(-1, 1, (30, 3))
    t = np.stack([x[:, 0] - x[:, 1], x[:, 2] / 2], axis=1)
    np.savez(data, x=x[:24], t=t[:24], test_x=x[24:], test_t=t[24:])
    return network, data


def test_a_workload(command: Command, tmp_path: Path) -> None:
    report, curve, page = (tmp_path / name for name in ("r.json", "c.csv", "c.html"))
    done = command("train", "xor", "--epochs", 6, "--report", report, "--curve", curve)
    assert done.code == 0, done.err
    assert complaints(done.err) == []
    data = json.loads(report.read_text())
    epochs = data["history"]["epochs"]
    assert [epoch["epoch"] for epoch in epochs] == list(range(1, 7))
    assert len(data["history"]["losses"]) == 24
    assert data["batch"] == 1
    assert data["source"] == "model"
    assert not data["compared_with_model"]
    for name in ("step", "forward"):
        check_report(data["programs"][name])
    cycles = data["programs"]["step"]["cycles"]
    assert all(epoch["cycles"] == 4 * cycles for epoch in epochs)
    with curve.open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["loss"]) for row in rows] == [epoch["loss"] for epoch in epochs]
    assert command("train", "xor", "--epochs", 1, "--curve", page).code == 0
    assert "training step" in page.read_text()
    assert page.stat().st_size < 200_000
    assert len(list(tmp_path.glob("plotly-*.min.js"))) == 1


def test_gradients_are_clipped(command: Command) -> None:
    usual = command("train", "xor", "--epochs", 1, "--json")
    clipped = command("train", "xor", "--epochs", 1, "--clip-norm", 0.001, "--json")
    first, second = json.loads(usual.out), json.loads(clipped.out)
    assert second["optimizer"]["clip_norm"] == 0.001
    assert {*second["programs"]} == {"accumulate", "update", "forward"}
    assert first["history"]["losses"][0] == second["history"]["losses"][0]
    assert first["history"]["losses"] != second["history"]["losses"]
    refused = command("train", "xor", "--clip-norm", 0)
    assert refused.code != 0
    assert "--clip-norm: must be more than 0 and finite, not 0" in refused.err


def test_accuracy_is_told_from_0_to_100_percent(command: Command, tmp_path: Path) -> None:
    page = tmp_path / "c.html"
    assert command("train", "softmax-regression", "--epochs", 1, "--curve", page).code == 0
    assert '"tickformat":".0%"' in page.read_text()
    assert '"range":[0,1.02]' in page.read_text()


def test_json(command: Command) -> None:
    done = command("train", "linear-regression", "--epochs", 1, "--json")
    data = json.loads(done.out)
    assert data["loss"]["name"] == "mse"
    assert data["samples"] == 240
    assert data["history"]["epochs"][0]["accuracy"] is None


@pytest.mark.parametrize("simulator", ["icarus", "verilator"])
def test_rtl_is_the_model(command: Command, simulator: str) -> None:
    losses = []
    for place in ("model", simulator):
        done = command("train", "and", "--epochs", 1, "--on", place, "--json")
        assert done.code == 0, done.err
        data = json.loads(done.out)
        assert data["compared_with_model"] == (place != "model")
        losses.append((data["history"]["losses"], data["history"]["epochs"][0]["cycles"]))
    assert losses[0] == losses[1]


@pytest.mark.parametrize("batch", ["full", "7"])
def test_a_network_of_ones_own(
    command: Command, network_and_data: tuple[Path, Path], tmp_path: Path, batch: str
) -> None:
    network, data = network_and_data
    report = tmp_path / "r.json"
    done = command(
        *("train", network, "--data", data, "--loss", "huber:0.5", "--optimizer", "momentum"),
        *("--learning-rate", 0.1, "--batch", batch, "--epochs", 12, "--report", report),
    )
    assert done.code == 0, done.err
    history = json.loads(report.read_text())
    assert history["loss"] == {"name": "huber", "parameter": 0.5}
    assert history["optimizer"]["momentum"] == 0.9
    assert history["batch"] == (24 if batch == "full" else 7)
    epochs = history["history"]["epochs"]
    assert epochs[-1]["test_loss"] < epochs[0]["test_loss"] / 2


def test_going_on(command: Command, tmp_path: Path) -> None:
    path, losses = tmp_path / "c.npz", []
    for options in (["--epochs", 4], ["--epochs", 2, "--checkpoint", path]):
        done = command("train", "xor", *options, "--json")
        losses.append(json.loads(done.out)["history"]["losses"])
    done = command("train", "xor", "--epochs", 4, "--resume", path, "--json")
    assert json.loads(done.out)["history"]["losses"] == losses[0]
    assert losses[1] == losses[0][:8]
    done = command("train", "xor-tanh", "--resume", path)
    assert done.code == 2
    assert "checkpoint of another network" in done.err
    path.write_bytes(path.read_bytes()[:-40])
    done = command("train", "xor", "--resume", path)
    assert done.code == 2
    assert "damaged" in done.err


def test_early_stops(command: Command) -> None:
    done = command("train", "linear-regression", "--epochs", 90, "--patience", 2, "--json")
    history = json.loads(done.out)["history"]
    assert history["stopped"] == "no lower loss in 2 epochs"
    assert len(history["epochs"]) < 90
    done = command("train", "or", "--epochs", 90, "--until", 1.0)
    assert done.code == 0
    assert "accuracy 1 reached" in done.out


REFUSED = {
    "no such network": (["nope"], "NETWORK: must be an .onnx file or "),
    "batch": (["xor", "--batch", 5], "--batch: must be 1 to 4"),
    "loss": (["xor", "--loss", "l7"], "loss: must be one of"),
    "parameter": (["xor", "--loss", "huber:x"], "the parameter must be a number"),
    "rate": (["xor", "--learning-rate", 0], "--learning-rate: must be more than 0"),
    "momentum": (["xor", "--optimizer", "sgd", "--momentum", 0.5], "not for --optimizer sgd"),
    "curve": (["xor", "--curve", "c.png"], "--curve: the file must end in"),
    "check": (["xor", "--check"], "--check: the model is"),
    "checkpoints": (["xor", "--checkpoint-steps", 2], "needs --checkpoint"),
    "machine": (["xor", "--config", "small"], "training must be true"),
    "no folder": (["xor", "--report", "none/r.json"], "no folder none"),
    "no checkpoint": (["xor", "--resume", "none.npz"], "none.npz: cannot read"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(command: Command, name: str) -> None:
    arguments, text = REFUSED[name]
    done = command("train", *arguments)
    assert done.code == 2
    (line,) = complaints(done.err)
    assert text in line


@pytest.mark.parametrize("missing", ["--data", "--loss", "--learning-rate"])
def test_what_a_network_of_ones_own_needs(
    command: Command, network_and_data: tuple[Path, Path], missing: str
) -> None:
    network, data = network_and_data
    options = {"--data": data, "--loss": "mse", "--learning-rate": 0.1}
    del options[missing]
    done = command("train", network, *(text for pair in options.items() for text in pair))
    assert done.code == 2
    assert f"needs {missing}" in done.err


def test_divergence(command: Command) -> None:
    done = command("train", "linear-regression", "--learning-rate", 1e6)
    assert done.code == 1
    assert "diverged in step" in done.err
    assert "lower --learning-rate" in done.err


def test_weights_are_the_real_values(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "w.npz"
    line = ["train", "linear-regression", "--epochs", 8, "--weights", path]
    done = command(*line)
    assert done.code == 0, done.err
    with np.load(path) as weights:
        assert weights["fc1.weight"][:, 0] == pytest.approx([0.7, -1.2, 0.4], abs=0.02)
        assert weights["fc1.bias"] == pytest.approx([0.3], abs=0.02)


def test_where_adversarial_training_is(command: Command) -> None:
    done = command("train", "adversarial")
    assert done.code == 2
    assert "examples/adversarial.py" in done.err


def test_adam_and_a_schedule(command: Command) -> None:
    line = ["train", "softmax-regression", "--optimizer", "adamw", "--learning-rate", 0.01]
    done = command(*line, "--schedule", "cosine", "--epochs", 2, "--json")
    assert done.code == 0, done.err
    history = json.loads(done.out)
    assert history["optimizer"] == {
        "momentum": 0.9, "weight_decay": 0.01, "squares": 0.999, "epsilon": 1e-8,
        "learning_rate": 0.01, "clip_norm": None,
    }  # fmt: skip
    epochs = history["history"]["epochs"]
    assert [epoch["rate"] for epoch in epochs] == [0.01, 0.005]
    assert epochs[-1]["test_accuracy"] > 0.85


def test_an_unknown_schedule(command: Command) -> None:
    done = command("train", "xor", "--schedule", "cosin")
    assert done.code == 2
    assert "schedule: must be one of constant, linear, cosine, not 'cosin'" in done.err
