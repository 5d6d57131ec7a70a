"""What machines take on hardware, beside what runs cost."""

from __future__ import annotations

import csv
import json
import runpy
from dataclasses import replace
from pathlib import Path

import pulsarray as pa
from pulsarray.report.hardware import hardware_of
from tests.cli.conftest import Command

ROOT = Path(__file__).resolve().parents[2]
TINY = pa.PRESETS["tiny"]
(ROW,) = hardware_of(TINY)


def test_figures_are_those_of_the_record() -> None:
    script = runpy.run_path(str(ROOT / "scripts" / "bench_synth.py"))
    record = json.loads((ROOT / "benchmarks" / "synthesis.json").read_text())
    shown = json.loads((ROOT / "pulsarray" / "report" / "hardware.json").read_text())
    assert shown == script["figures"](record)
    assert script["page"](record) == (ROOT / "docs" / "hardware.md").read_text()
    whole = record["tiny/ecp5/pulsarray"]
    assert whole["fingerprint"] == replace(TINY, trace=False).fingerprint
    for name in ("lut_equivalents", "ff", "dsp", "block_ram"):
        assert ROW[name] == whole["flat"][name]


def test_only_machines_that_were_synthesized_have_figures() -> None:
    assert hardware_of(replace(TINY, trace=False)) == [ROW]
    assert hardware_of(replace(TINY, queue_depth=8)) == []


def test_report_compare_and_info(command: Command, tmp_path: Path) -> None:
    files = [tmp_path / "a.json", tmp_path / "b.json"]
    for path, config in zip(files, (TINY, replace(TINY, queue_depth=8)), strict=True):
        pa.load("gemm:8x8x8").estimate(config).save(path)
    assert [json.loads(path.read_text())["hardware"] for path in files] == [[ROW], []]
    rows = json.loads(command("compare", *files, "--json").out)["figures"]
    values = {row["figure"]: row["values"] for row in rows}
    assert values["ecp5 LUT equivalents"] == [ROW["lut_equivalents"], None]
    assert "ecp5 gates" not in values
    assert json.loads(command("info", "-c", "tiny", "--json").out)["hardware"] == [ROW]
    told = f"{ROW['lut_equivalents']:,} LUT equivalents, {ROW['ff']:,} FF, {ROW['dsp']:,} DSP"
    for arguments in (("info",), ("estimate", "gemm:8x8x8")):
        assert told in " ".join(command(*arguments, "-c", "tiny").out.split())
        other = command(*arguments, "-c", "tiny", "--set", "queue_depth=8").out
        assert "On hardware" not in other


def test_sweep(tmp_path: Path) -> None:
    file, page = tmp_path / "s.csv", tmp_path / "s.html"
    swept = pa.sweep("gemm:8x8x8", "tiny", queue_depth=[4, 8], workers=1, file=file)
    first, second = swept.to_list()
    assert (first["target"], first["ff"], first["gates"]) == ("ecp5", ROW["ff"], "")
    assert (second["target"], second["ff"]) == ("", "")
    with file.open(newline="") as rows:
        assert [row["lut_equivalents"] for row in csv.DictReader(rows)] == [
            str(ROW["lut_equivalents"]),
            "",
        ]
    again = pa.sweep("gemm:8x8x8", "tiny", queue_depth=[4, 8], workers=1, file=file)
    assert again.to_list() == swept.to_list()
    swept.save_page(page)
    assert f"{ROW['ff']:,} FF" in page.read_text()
    pa.sweep("gemm:8x8x8", "tiny", queue_depth=8, workers=1).save_page(page)
    assert "on hardware" not in page.read_text()
