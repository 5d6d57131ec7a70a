"""The report of a synthesis as people read it: what each unit takes, and the longest path."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from pulsarray.display.plotly_page import charts
from pulsarray.report.compare_synthesis import resources_used, size_resource

__all__ = ["size_chart", "synthesis_html", "synthesis_view"]

_TITLES = {
    "lut": "LUT",
    "carry": "carry",
    "ff": "FF",
    "dsp": "DSP",
    "block_ram": "block RAM",
    "distributed_ram": "distr. RAM",
    "lut_equivalents": "LUT equiv.",
    "gates": "NAND2 equiv.",
    "memory_bits": "memory bits",
}
_MODULES_SHOWN = 12

Report = Mapping[str, Any]


def synthesis_view(report: Report) -> RenderableType:
    """Everything of a report, the smallest modules left out."""
    shown = resources_used([report])
    parts: list[RenderableType] = [_headline(report), Text(), _units(report, shown), Text()]
    parts += [_modules(report, shown)]
    if report["timing"]:
        parts += [Text(), *_timing(report["timing"])]
    return Group(*parts)


def _headline(report: Report) -> Text:
    device = f" ({report['device']})" if report["device"] else ""
    return Text.assemble(
        (f"{report['part']} on {report['target']}{device}", "bold"),
        f", D = {report['config']['dim']} ({report['fingerprint']}), {', '.join(report['tools'])}",
    )


def _table(titles: Sequence[str], shown: Sequence[str]) -> Table:
    table = Table(box=None, padding=(0, 1), header_style="bold")
    for title in titles:
        table.add_column(title)
    for name in shown:
        table.add_column(_TITLES[name], justify="right")
    table.add_column("share", justify="right")
    return table


def _amounts(row: Mapping[str, Any], shown: Sequence[str], times: int = 1) -> list[str]:
    return [f"{row[name] * times:,}" for name in shown]


def _share(row: Mapping[str, Any], report: Report, times: int = 1) -> str:
    """Part of the whole in look-up tables or gates."""
    whole = _size(report["total"])
    return f"{times * _size(row) / whole:.1%}" if whole else ""


def _size(row: Mapping[str, Any]) -> int:
    size: int = row["lut_equivalents"] + row["gates"]
    return size


def _units(report: Report, shown: Sequence[str]) -> Table:
    table = _table(("unit",), shown)
    for row in report["units"]:
        table.add_row(row["name"], *_amounts(row, shown), _share(row, report))
    table.add_row("whole", *_amounts(report["total"], shown), "100.0%", style="bold")
    if report["flat"]:
        table.add_row("as one module", *_amounts(report["flat"], shown), style="bold")
    return table


def _modules(report: Report, shown: Sequence[str]) -> Table:
    table = _table((f"largest {_MODULES_SHOWN} modules, all instances", "instances"), shown)
    for row in report["modules"][:_MODULES_SHOWN]:
        number = row["instances"]
        amounts = _amounts(row, shown, number)
        table.add_row(row["module"], str(number), *amounts, _share(row, report, number))
    return table


def _timing(timing: Mapping[str, Any]) -> Iterator[RenderableType]:
    yield Text.assemble(
        (f"Fmax {timing['fmax_mhz']:.1f} MHz", "bold"),
        f" ({timing['stage']}, seed {timing['seed']}); the longest path:",
    )
    table = Table(box=None, padding=(0, 1), header_style="bold")
    table.add_column("ns", justify="right")
    table.add_column("levels", justify="right")
    table.add_column("instance")
    table.add_column("signal", overflow="fold")
    for step in timing["path"]:
        ns, levels = f"{step['arrival_ns']:.2f}", str(step["levels"])
        table.add_row(ns, levels, step["where"], step["signal"])
    yield table


def synthesis_html(report: Report) -> str:
    """One self-contained page."""
    from jinja2 import Environment, StrictUndefined

    text = files("pulsarray.display").joinpath("synthesis.html").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    environment.filters["number"] = lambda value: f"{value:,}"
    return environment.from_string(text).render(
        report=report, shown=resources_used([report]), titles=_TITLES
    )


def size_chart(names: Sequence[str], reports: Sequence[Report]) -> Any:
    """Bars of what each unit takes, a report beside the other."""
    graph_objects = charts()

    size = size_resource(reports[0])
    figure = graph_objects.Figure()
    for name, report in zip(names, reports, strict=True):
        units = report["units"]
        figure.add_bar(x=[unit["name"] for unit in units], y=[u[size] for u in units], name=name)
    figure.update_layout(barmode="group", title="Size by unit", yaxis_title=size.replace("_", " "))
    return figure
