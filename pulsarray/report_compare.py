"""Reports side by side: a table, JSON, a page with charts, and what changed between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from pulsarray.errors import CheckFailed, InputError
from pulsarray.registers import UNIT_STATES

__all__ = ["check_regression", "comparison", "comparison_html", "comparison_view"]

Report = Mapping[str, Any]

_FIGURES = (
    "cycles",
    "bound_cycles",
    "bound_ratio",
    "array_utilization",
    "mac_utilization",
    "macs",
    "bytes_read",
    "bytes_written",
    "instructions",
)
_COLOURS = {
    "busy": "#2e8b57",
    "stall": "#c0392b",
    "wait": "#e0a526",
    "start": "#8e44ad",
    "drain": "#2a9fb5",
    "idle": "#b0b7bd",
}


def comparison(names: Sequence[str], reports: Sequence[Report]) -> dict[str, Any]:
    """Figures of each report, their change against the first in percent, and what else differs.

    Raises
    ------
    InputError
        If there are fewer than two reports.
    """
    if len(reports) < 2:
        raise InputError(f"compare: needs two reports or more, not {len(reports)}")
    rows = [
        {"figure": figure, "values": values, "change": [_change(values[0], v) for v in values[1:]]}
        for figure, values in _rows(reports)
    ]
    return {"reports": list(names), "differs": _settings(reports), "figures": rows}


def _rows(reports: Sequence[Report]) -> list[tuple[str, list[float | None]]]:
    rows = [(figure, [report[figure] for report in reports]) for figure in _FIGURES]
    for state in UNIT_STATES:
        rows.append((f"stream {state}", [r["units"]["stream"][state] for r in reports]))
    tables = [{layer["name"]: layer["cycles"] for layer in r["layers"]} for r in reports]
    for name in dict.fromkeys(name for table in tables for name in table):
        rows.append((f"layer {name}", [table.get(name) for table in tables]))
    return rows


def _change(first: float | None, value: float | None) -> float | None:
    if first is None or value is None or (not first and value):
        return None
    return 100.0 * (value - first) / first if first else 0.0


def _settings(reports: Sequence[Report]) -> dict[str, list[Any]]:
    """What was set differently: parameters by name, memory, network, batch, source."""
    flat = [
        {
            "source": report["source"],
            "network": report["network"],
            "batch": report["batch"],
            **{f"memory {name}": value for name, value in report["memory"].items()},
            **report["config"],
        }
        for report in reports
    ]
    names = dict.fromkeys(name for settings in flat for name in settings)
    table = {name: [settings.get(name) for settings in flat] for name in names}
    return {name: values for name, values in table.items() if len(set(values)) > 1}


def check_regression(names: Sequence[str], reports: Sequence[Report], percent: float) -> None:
    """Check that no report takes over ``percent`` more cycles than the first.

    Raises
    ------
    CheckFailed
        If one does.
    """
    first = reports[0]["cycles"]
    for name, report in zip(names[1:], reports[1:], strict=True):
        change = _change(first, report["cycles"])
        if change is None or change > percent:
            raise CheckFailed(
                f"compare: {name} takes {report['cycles']:,} cycles, {names[0]} {first:,}: "
                f"{change or 0.0:+.2f} %, limit {percent:+g} %"
            )


def comparison_view(data: Mapping[str, Any]) -> RenderableType:
    """The comparison as a table, with what was set differently above it."""
    return Group(*_differs_view(data), _figures_view(data))


def _differs_view(data: Mapping[str, Any]) -> list[RenderableType]:
    if not data["differs"]:
        return [Text("Same network, configuration and memory."), Text()]
    table = Table(box=None, padding=(0, 1), header_style="bold")
    table.add_column("differs")
    for name in data["reports"]:
        table.add_column(name, justify="right")
    for name, values in data["differs"].items():
        table.add_row(name, *(str(value) for value in values))
    return [table, Text()]


def _figures_view(data: Mapping[str, Any]) -> Table:
    table = Table(box=None, padding=(0, 1), header_style="bold")
    table.add_column("figure")
    for number, name in enumerate(data["reports"]):
        table.add_column(name, justify="right")
        if number:
            table.add_column("change", justify="right")
    for row in data["figures"]:
        cells = [_number(row["values"][0])]
        for value, change in zip(row["values"][1:], row["change"], strict=True):
            cells += [_number(value), "" if change is None else f"{change:+.2f} %"]
        table.add_row(row["figure"], *cells)
    return table


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}"


def comparison_html(names: Sequence[str], reports: Sequence[Report]) -> str:
    """One self-contained page: settings, figures, and charts of cycles by unit and layer."""
    from jinja2 import Environment, StrictUndefined

    text = files("pulsarray").joinpath("templates/compare.html").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    environment.filters["number"] = _number
    charts = [_unit_chart(names, reports), _layer_chart(names, reports)]
    return environment.from_string(text).render(
        data=comparison(names, reports), charts=_chart_html(charts), reports=reports
    )


def _chart_html(charts: Sequence[Any]) -> list[str]:
    """Charts as HTML; the first brings the chart library with it."""
    return [
        chart.to_html(full_html=False, include_plotlyjs=number == 0)
        for number, chart in enumerate(charts)
    ]


def _unit_chart(names: Sequence[str], reports: Sequence[Report]) -> Any:
    from plotly import graph_objects

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


def _layer_chart(names: Sequence[str], reports: Sequence[Report]) -> Any:
    from plotly import graph_objects

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
