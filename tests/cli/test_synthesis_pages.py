"""Reports of syntheses: what does not fit, paths in words, tables, pages and comparisons."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from pulsarray.display.page import write_comparison
from pulsarray.display.synthesis import synthesis_html, synthesis_view
from pulsarray.errors import CheckFailed, InputError
from pulsarray.report.compare import check_regression, comparison
from pulsarray.report.synthesis import RESOURCES
from pulsarray.synth.fit import misfit
from pulsarray.synth.path import named_path
from pulsarray.synth.place import _Said


def amounts(**values: float) -> dict[str, Any]:
    return {entry.name: values.get(entry.name, 0) for entry in RESOURCES}


def report(device: str = "", **whole: float) -> dict[str, Any]:
    """Made-up figures: the vector unit takes all but one look-up table."""
    vector = {**amounts(**whole), "lut_equivalents": whole["lut_equivalents"] - 1}
    step = {"where": "vector.lane0", "signal": "sum", "arrival_ns": 9.5, "levels": 4}
    return {
        "kind": "synthesis",
        "part": "pulsarray",
        "target": "ecp5",
        "device": device,
        "tools": ["Yosys 1"],
        "config": {"dim": 4},
        "fingerprint": "0" * 16,
        "total": amounts(**whole),
        "flat": None,
        "units": [
            {"name": "vector", "module": "vector_unit", **vector},
            {"name": "(top)", "module": "pulsarray", **amounts(lut_equivalents=1)},
        ],
        "modules": [{"module": "vector_unit", "instances": 1, **vector}],
        "timing": {"fmax_mhz": 99.5, "stage": "routed", "seed": 1, "path": [step]},
    }


@pytest.mark.parametrize(
    ("whole", "message"),
    [
        ({"lut_equivalents": 24288}, ""),
        (
            {"lut_equivalents": 25000},
            "does not fit ecp5-25k: 25,000 look-up tables, 712 more than its 24,288; less of this "
            "would help: vector_lanes or vector_multiply = false (vector takes ",
        ),
        ({"lut_equivalents": 9, "dsp": 30}, "30 multiplier blocks, 2 more than its 28"),
        ({"lut_equivalents": 9, "block_ram": 57}, "1 more than its 56; less of this would help: s"),
    ],
)
def test_fit(whole: dict[str, float], message: str) -> None:
    problem = misfit(report("ecp5-25k", **whole))
    assert message in problem
    assert bool(problem) == bool(message)
    assert misfit(report(**whole)) == ""


def test_path_in_words() -> None:
    def step(kind: str, delay: float, cell: str, net: str = "") -> dict[str, Any]:
        entry: dict[str, Any] = {"type": kind, "delay": delay, "to": {"cell": cell}}
        return {**entry, "net": net} if net else entry

    steps = [
        step("clk-to-q", 0.5, "dut.a.x_TRELLIS_FF_Q_3"),
        step("routing", 1.0, "dut.a.y_LUT4_Z", "dut.a.x[3]"),
        step("logic", 0.25, "dut.a.y_LUT4_Z"),
        step("routing", 1.0, "dut.a.y_LUT4_Z_1", "dut.a.y_LUT4_Z_A"),
        step("logic", 0.25, "dut.a.y_LUT4_Z_1"),
        step("routing", 1.0, "dut.b.z_TRELLIS_FF_Q", "dut.b.z_TRELLIS_FF_Q_DI"),
        step("setup", 0.0, "dut.b.z_TRELLIS_FF_Q"),
    ]
    entry = [(s["where"], s["signal"], s["arrival_ns"], s["levels"]) for s in named_path(steps)]
    assert entry == [
        ("a", "x[3]", 0.5, 0),
        ("a", "logic at y", 1.75, 1),
        ("b", "logic at z", 3.0, 1),
        ("b", "z (register)", 4.0, 0),
    ]


def test_view_and_page() -> None:
    made = report("ecp5-25k", lut_equivalents=100, lut=90, carry=5)
    stream = io.StringIO()
    Console(file=stream, width=140).print(synthesis_view(made))
    for text in (stream.getvalue(), synthesis_html(made)):
        assert "ecp5-25k" in text
        assert "99.0" in text  # the vector unit's share
        assert "Fmax 99.5 MHz" in text
        assert "vector.lane0" in text
        assert "block RAM" not in text  # of which there is none


def test_comparison(tmp_path: Path) -> None:
    reports = [report(lut_equivalents=100), report(lut_equivalents=90)]
    data = comparison(["before", "after"], reports)
    rows = {row["figure"]: (row["values"], row["change"]) for row in data["figures"]}
    assert rows["lut_equivalents"] == ([100, 90], [-10.0])
    assert rows["vector lut_equivalents"][0] == [99, 89]
    assert rows["fmax_mhz"] == ([99.5, 99.5], [0.0])
    assert data["differs"] == {}
    write_comparison(tmp_path / "page.html", ["before", "after"], reports)
    assert "Size by unit" in (tmp_path / "page.html").read_text()
    check_regression(["before", "after"], reports, 0.0)
    with pytest.raises(CheckFailed, match=r"before takes 100 lut equivalents, after 90: \+11.11 %"):
        check_regression(["after", "before"], reports[::-1], 1.0)


def test_comparison_of_different_kinds() -> None:
    with pytest.raises(InputError, match=r"compare: b is the report of a synthesis, a of a run"):
        comparison(["a", "b"], [{"kind": ""}, report(lut_equivalents=1)])


def test_a_clock_that_was_only_estimated_is_taken_from_what_nextpnr_says() -> None:
    said = _Said(lambda _: None)
    for mhz in ("50.25", "71.62"):
        said(f"Info: Max frequency for clock '$glbnet$clk': {mhz} MHz (FAIL at 80.00 MHz)")
    assert said.estimates == [71.62]
