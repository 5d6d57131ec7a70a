"""The folder that ``pulsarray generate`` leaves for the smallest machine, made once."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from pulsarray.cli.main import run

SMALLEST = ["-c", "tiny", "--set", "dim=2", "--set", "bus_bits=16"]

Make = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder; tests leave it as it is but for its builds."""
    path = tmp_path_factory.mktemp("handoff") / "machine"
    assert run(["generate", *SMALLEST, "-o", str(path)]) == 0
    return path


@pytest.fixture
def make(folder: Path) -> Make:
    """Run make in the folder."""

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["make", *arguments], cwd=folder, capture_output=True, text=True, check=False
        )

    return call
