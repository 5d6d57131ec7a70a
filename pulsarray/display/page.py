"""A comparison of reports as a page with charts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pulsarray.display.plotly_page import LAYOUT, chart_html, charts, write_page
from pulsarray.display.synthesis import size_chart
from pulsarray.registers import UNIT_STATES
from pulsarray.report.compare import comparison, is_synthesis

__all__ = ["write_comparison"]

Report = Mapping[str, Any]

_COLOURS = {
    "busy": "#2e8b57",
    "stall": "#c0392b",
    "wait": "#e0a526",
    "start": "#8e44ad",
    "drain": "#2a9fb5",
    "idle": "#b0b7bd",
}


def write_comparison(path: Path, names: Sequence[str], reports: Sequence[Report]) -> None:
    """Write a page of settings, figures, and charts by unit and layer.

    Raises
    ------
    InputError
        If it cannot be written.
    """
    if is_synthesis(reports[0]):
        charts, runs = [size_chart(names, reports)], []
    else:
        charts, runs = [_unit_chart(names, reports), _layer_chart(names, reports)], [*reports]
        if all("energy_estimate" in report for report in reports):
            charts.append(_energy_chart(names, reports))
    values = {"data": comparison(names, reports), "charts": map(_chart, charts), "runs": runs}
    write_page(path, "compare.html", values)


def _chart(figure: Any) -> str:
    figure.update_layout(LAYOUT)
    return chart_html(figure)


def _unit_chart(names: Sequence[str], reports: Sequence[Report]) -> Any:
    graph_objects = charts()

    units = [unit for unit in reports[0]["units"] if unit != "fetch"]
    rows = [(name, unit.upper()) for unit in units for name in names]
    labels = [[unit for _, unit in rows], [name for name, _ in rows]]
    by_name = dict(zip(names, reports, strict=True))
    figure = graph_objects.Figure()
    for state in UNIT_STATES:
        values = [by_name[name]["units"][unit.lower()][state] for name, unit in rows]
        figure.add_bar(
            y=labels, x=values, name=state, orientation="h", marker_color=_COLOURS[state]
        )
    figure.update_layout(barmode="stack", title="Cycles by unit and state", xaxis_title="cycles")
    figure.update_layout(height=120 + 28 * len(rows), yaxis_autorange="reversed")
    return figure


def _energy_chart(names: Sequence[str], reports: Sequence[Report]) -> Any:
    graph_objects = charts()

    estimates = [report["energy_estimate"]["parts_uj"] for report in reports]
    figure = graph_objects.Figure()
    for part in estimates[0]:
        values = [estimate[part] for estimate in estimates]
        figure.add_bar(x=list(names), y=values, name=part)
    figure.update_layout(
        barmode="stack", title="Energy by part, estimated", yaxis_title="microjoule"
    )
    return figure


def _layer_chart(names: Sequence[str], reports: Sequence[Report]) -> Any:
    graph_objects = charts()

    figure = graph_objects.Figure()
    for name, report in zip(names, reports, strict=True):
        layers = report["layers"]
        figure.add_bar(
            x=[layer["name"] for layer in layers],
            y=[layer["cycles"] for layer in layers],
            name=name,
        )
    figure.update_layout(barmode="group", title="Cycles by layer", yaxis_title="cycles")
    return figure
