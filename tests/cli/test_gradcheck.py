"""``pulsarray gradcheck``, ``compile --training``: what they print, and their exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pulsarray.cli.main import run


def test_every_tensor_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["gradcheck", "xor", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["passes"]
    names = {row["name"] for row in report["tensors"]}
    assert {"fc1.output", "fc2.error", "fc1.weight.gradient", "fc2.bias.gradient"} <= names
    assert max(report["float64_against_central_differences"].values()) < 1e-6
    assert all(row["rms"] <= row["tolerance_rms"] for row in report["tensors"])


def test_coarse_tables_are_found_out(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["gradcheck", "xor", "--set", "table_segments=16", "--json"]) == 1
    captured = capsys.readouterr()
    assert not json.loads(captured.out)["passes"]
    assert "allowed" in captured.err


def test_a_perceptron_has_no_slopes(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["gradcheck", "and"]) == 0
    assert "no central differences" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["gradcheck", "nothing"], "must be an .onnx file or and, or"),
        (["gradcheck", "xor", "--loss", "cross-entropy"], "ends with softmax"),
        (["gradcheck", "xor", "--loss", "huber:x"], "parameter must be a number"),
        (["gradcheck", "xor", "--config", "base"], "operand_bits must be 16"),
        (["compile", "xor", "-o", "x.pulse", "--loss", "mse"], "only with --training"),
        (["compile", "mnist-mlp", "--training", "--batch", "4000", "-o", "x.pulse"], "runs of"),
        (["compile", "xor", "--training", "--batch", "5", "-o", "x.pulse"], "must be 1 to 4"),
        (["compile", "xor", "--training", "--config", "base", "-o", "x.pulse"], "must be true"),
    ],
)
def test_what_does_not_fit(
    arguments: list[str], text: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    arguments = [str(tmp_path / a) if a == "x.pulse" else a for a in arguments]
    assert run(arguments) == 2
    assert text in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_step_as_a_program(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "step.pulse"
    config = ["--set", "dim=4", "--set", "bus_bits=64"]
    assert run(["compile", "xor", "--training", "--batch", "4", "-o", str(path), *config]) == 0
    capsys.readouterr()
    assert run(["simulate", str(path), "--on", "icarus", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["differences"] == []
    kinds = [layer["kind"] for layer in report["report"]["layers"]]
    assert kinds == ["forward", "forward", "backward", "backward"]
