"""An estimate of energy as people read it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

__all__ = ["energy_view"]


def energy_view(data: Mapping[str, Any]) -> RenderableType:
    """Microjoule by part and by layer, with where the figures come from."""
    head = Text.assemble(
        (f"Energy, estimated: {data['total_uj']:,.4g} microjoule", "bold"),
        f" ({data['table']}; events are counted exactly; no clock, registers, wires or leakage)",
    )
    parts: list[RenderableType] = [
        head,
        _shares("part", data["parts_uj"], data["total_uj"]),
        _shares("unit", data["units_uj"], data["total_uj"]),
    ]
    layers = {row["name"]: row["uj"] for row in data["layers_uj"]}
    if len(layers) > 1:
        parts.append(_shares("layer", layers, data["total_uj"]))
    return Group(*parts)


def _shares(title: str, rows: Mapping[str, float], whole: float) -> Table:
    table = Table(box=None, padding=(0, 1), header_style="bold")
    table.add_column(title)
    table.add_column("microjoule", justify="right")
    table.add_column("share", justify="right")
    for name, value in rows.items():
        table.add_row(name, f"{value:,.4g}", f"{value / whole:.1%}" if whole else "")
    return table
