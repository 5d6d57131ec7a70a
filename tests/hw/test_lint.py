"""Verilator finds nothing to say about the Verilog of the whole machine, so of any module."""

from __future__ import annotations

from pathlib import Path

import pytest

from pulsarray.hw.emit import generate
from pulsarray.sim import toolchain
from tests.hw.configs import CONFIGS


@pytest.mark.parametrize("name", ["d3-half", "d5-wide"])
def test_machine(name: str, tmp_path: Path) -> None:
    source = tmp_path / "pulsarray.v"
    source.write_text(generate(CONFIGS[name]), encoding="utf-8")
    assert toolchain.lint([source], "pulsarray") == []
