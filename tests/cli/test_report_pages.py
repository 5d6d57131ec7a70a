"""Reports as text, side by side, and as a page."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from pulsarray.display.page import write_comparison
from pulsarray.display.table import comparison_view
from pulsarray.display.view import bar, view
from pulsarray.errors import CheckFailed, InputError
from pulsarray.report.compare import check_regression, comparison


def report(cycles: int = 100, **config: int) -> dict[str, Any]:
    """A report with made-up figures."""
    states = {"busy": 60, "stall": 10, "wait": 20, "start": 1, "drain": 4, "idle": cycles - 95}
    units: dict[str, Any] = {
        name: {**states, "waits": [{"semaphore": 3, "cycles": 20, "signalled_by": ["load"]}]}
        for name in ("load", "weight", "stream", "vector", "store")
    }
    units["fetch"] = {"busy": 5, "queue": 5, "memory": 30, "idle": cycles - 40}
    figures = {
        "cycles": cycles,
        "macs": 960,
        "array_utilization": 0.6,
        "mac_utilization": 0.5,
        "bound_cycles": 80,
        "bound_ratio": cycles / 80,
        "bytes_read": 640,
        "bytes_written": 64,
    }
    layer = {"kind": "dense", "m": 2, "k": 3, "n": 4, "units": {}, **figures}
    return {
        **figures,
        "source": "model",
        "network": "net",
        "batch": 2,
        "instructions": 7,
        "config": {"dim": 4, **config},
        "fingerprint": "0" * 16,
        "memory": {"latency": 64, "interval": 1},
        "bound": {"compute": 80, "memory": 20, "fill": 17, "words": 60},
        "units": units,
        "layers": [{"name": "fc1", **layer}, {"name": "fc2", **layer}],
        "explanation": [{"cause": "weights", "cycles": cycles - 80, "text": "late"}],
    }


def text_of(content: Any) -> str:
    stream = io.StringIO()
    Console(file=stream, width=140).print(content)
    return stream.getvalue()


def test_bar_always_fills_its_cells() -> None:
    for parts in (
        [("busy", 1)],
        [("busy", 1), ("idle", 999)],
        [("busy", 7), ("wait", 7), ("idle", 7)],
    ):
        assert len(bar(parts, 40).plain) == 40
    assert bar([("busy", 3), ("stall", 1)], 8).plain == "██████▓▓"
    assert bar([("busy", 0), ("idle", 0)], 8).plain == ""


def test_view_says_what_matters() -> None:
    text = text_of(view(report()))
    for part in ("100 cycles", "fewer than 80 cycles", "1.250 times", "LOAD 20", "weights: late"):
        assert part in text
    assert "fc1 (dense)" in text
    assert "all cycles above the bound" in text


def test_comparison_gives_changes_against_the_first() -> None:
    data = comparison(["a", "b", "c"], [report(), report(150), report(96)])
    rows = {row["figure"]: row for row in data["figures"]}
    assert rows["cycles"]["values"] == [100, 150, 96]
    assert rows["cycles"]["change"] == [50.0, -4.0]
    assert rows["macs"]["change"] == [0.0, 0.0]
    assert rows["layer fc1"]["values"] == [100, 150, 96]


def test_comparison_names_what_differs() -> None:
    second = {**report(dim=8), "memory": {"latency": 9, "interval": 1}}
    data = comparison(["a", "b"], [report(), second])
    assert data["differs"] == {"memory latency": [64, 9], "dim": [4, 8]}
    assert "memory latency" in text_of(comparison_view(data))
    same = comparison(["a", "b"], [report(), report()])
    assert "Nothing was set differently" in text_of(comparison_view(same))


def test_layers_that_only_one_report_has() -> None:
    second = {**report(), "layers": []}
    rows = {r["figure"]: r for r in comparison(["a", "b"], [report(), second])["figures"]}
    assert rows["layer fc2"] == {"figure": "layer fc2", "values": [100, None], "change": [None]}


def test_comparison_wrong() -> None:
    with pytest.raises(InputError, match=r"^compare: needs two reports or more, not 1$"):
        comparison(["a"], [report()])


def test_regression_limit() -> None:
    check_regression(["a", "b"], [report(), report(101)], 1.0)
    message = r"^compare: b takes 102 cycles, a 100: \+2.00 %, limit \+1 %$"
    with pytest.raises(CheckFailed, match=message):
        check_regression(["a", "b"], [report(), report(102)], 1.0)


def test_page_needs_no_network_and_is_escaped(tmp_path: Path) -> None:
    write_comparison(tmp_path / "page.html", ["<a>", "b"], [report(), report(150)])
    page = (tmp_path / "page.html").read_text()
    (script,) = tmp_path.glob("plotly-*.min.js")
    assert f'src="{script.name}"' in page
    assert len(page) < 50_000
    assert "&lt;a&gt;" in page
    assert "<h1>Reports compared</h1>" in page
    assert "Plotly.newPlot" in page
    assert 'src="http' not in page
    assert "+50.00 %" in page
