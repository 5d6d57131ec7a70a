"""The command line inside the test process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from pulsarray.cli.main import run


class Done(NamedTuple):
    """What a command left."""

    code: int
    out: str
    err: str


Command = Callable[..., Done]


def complaints(err: str) -> list[str]:
    """Lines on stderr but the signs of life, which come when something takes long."""
    return [line for line in err.splitlines() if not line.endswith((" ...", "%"))]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    """Run ``pulsarray`` with arguments."""

    def call(*arguments: object) -> Done:
        capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        return Done(code, *capsys.readouterr())

    return call


@pytest.fixture
def gemm(command: Command, tmp_path: Path) -> Path:
    """A compiled product for ``tiny``."""
    path = tmp_path / "gemm.pulse"
    done = command("compile", "gemm:6x9x5", "--config", "tiny", "-o", path)
    assert done.code == 0, done.err
    return path
