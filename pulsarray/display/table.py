"""A comparison of reports as a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

__all__ = ["comparison_view", "figure_text"]


def comparison_view(data: Mapping[str, Any]) -> RenderableType:
    """The comparison as a table, with what was set differently above it."""
    return Group(*_differs_view(data), _figures_view(data))


def _differs_view(data: Mapping[str, Any]) -> list[RenderableType]:
    if not data["differs"]:
        return [Text("Nothing was set differently."), Text()]
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
        cells = [figure_text(row["values"][0])]
        for value, change in zip(row["values"][1:], row["change"], strict=True):
            cells += [figure_text(value), "" if change is None else f"{change:+.2f} %"]
        table.add_row(row["figure"], *cells)
    return table


def figure_text(value: float | None) -> str:
    """A figure as text; - where there is none."""
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}"
