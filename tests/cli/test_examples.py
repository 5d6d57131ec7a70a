"""The examples run and say what they promise."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pulsarray.config import load_config

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"


def run(*arguments: object) -> str:
    done = subprocess.run(
        [str(argument) for argument in arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "BIN": str(Path(sys.executable).parent)},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_machine() -> None:
    config = load_config(str(EXAMPLES / "machine.toml"))
    assert (config.dim, config.word_bytes, config.transposer) == (12, 16, False)


def test_xor_has_the_right_answers() -> None:
    lines = run(sys.executable, EXAMPLES / "xor_mlp.py").splitlines()
    answers = [round(float(line.split("= ")[1])) for line in lines[:4]]
    assert answers == [0, 1, 1, 0]


def test_resnet8_keeps_the_array_busy() -> None:
    lines = run(sys.executable, EXAMPLES / "resnet8.py", "base").splitlines()
    assert len(lines) == 12
    assert "12,501,632 MACs" in lines[-1]


@pytest.mark.slow
def test_lenet_answers_alike() -> None:
    lines = run(sys.executable, EXAMPLES / "lenet.py").splitlines()
    rights = [float(line.split()[1].rstrip("%")) for line in lines[:2]]
    assert min(rights) >= 96.0
    assert all(line.endswith("identical") for line in lines[2:])


@pytest.mark.slow
def test_resnet50() -> None:
    assert "cycles an image on D = 16" in run(sys.executable, EXAMPLES / "resnet50.py", "base")


def test_network_of_a_file(tmp_path: Path) -> None:
    run(sys.executable, EXAMPLES / "make_onnx.py", tmp_path)
    out = run(sys.executable, EXAMPLES / "mobilenet.py", tmp_path / "net.onnx", "--config", "tiny")
    assert "net.onnx: 3 operators, 800 MACs" in out


def test_walk(tmp_path: Path) -> None:
    out = run(EXAMPLES / "walk.sh", "model", tmp_path)
    assert "STREAM" in out
    assert "Cycles by unit and state" in (tmp_path / "compare.html").read_text()
    assert (tmp_path / "answers.npz").is_file()


def test_adversarial(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    line = [sys.executable, EXAMPLES / "adversarial.py", "--rounds", "3", "--page", page]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    assert "3 rounds on model" in done.stdout
    assert "made by the generator" in page.read_text(encoding="utf-8")
