"""``pulsarray export``."""

from __future__ import annotations

from pathlib import Path

import pytest

from pulsarray.cli.main import run
from pulsarray.program import Program
from tests.handoff.conftest import SMALLEST


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("export") / "gemm.pulse"
    assert run(["compile", "gemm:5x3x4", *SMALLEST, "-o", str(path)]) == 0
    return path


def test_binary_is_the_memory_image(program: Path, tmp_path: Path) -> None:
    assert run(["export", str(program), "--bin", "-o", str(tmp_path / "image.bin")]) == 0
    assert (tmp_path / "image.bin").read_bytes() == bytes(Program.load(program).memory)


def test_hex_is_the_memory_image_too(program: Path, tmp_path: Path) -> None:
    assert run(["export", str(program), "--hex", "-o", str(tmp_path / "gemm")]) == 0
    words = (tmp_path / "gemm/image.hex").read_text().split()
    memory = b"".join(bytes.fromhex(word)[::-1] for word in words)
    assert memory == bytes(Program.load(program).memory)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "export: give one of --hex, --bin, --c"),
        (["--hex", "--bin"], "export: give one of --hex, --bin, --c"),
        (["--bin", "--name", "net"], "--name: only with --c"),
        (["--c", "--name", "3x"], "--name: must be a name in C (letters, digits, _), not '3x'"),
        (["--hex", "-c", "base"], "compiled for configuration"),
    ],
)
def test_export_wrong(
    program: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    complaint: str,
) -> None:
    assert run(["export", str(program), *arguments, "-o", str(tmp_path / "out")]) == 2
    assert complaint in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
