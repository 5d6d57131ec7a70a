"""A run through a DRAM as people read it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

__all__ = ["replay_view"]


def replay_view(data: Mapping[str, Any]) -> RenderableType:
    """The fixed times that were asked for, and those that the DRAM keeps."""
    head = Text.assemble(
        (f"{data['memory']}, machine at {data['clock_mhz']:g} MHz", "bold"),
        "; replay: the run's bursts go into the DRAM when a machine with these fixed times asks",
    )
    runs = {"as asked": data["asked"], "kept by the DRAM": data["sufficient"]}
    table = Table(box=None, padding=(0, 1), header_style="bold")
    table.add_column("fixed times")
    for name in ("latency", "interval", "cycles", "bursts", "late", "latest by",
                 "row hits", "misses", "conflicts", "refreshes", "bus"):  # fmt: skip
        table.add_column(name, justify="right")
    for name, run in runs.items():
        if run is not None:
            table.add_row(name, *_cells(run))
    parts: list[RenderableType] = [head, table]
    if data["sufficient"] is None:
        parts.append(Text("No fixed times are kept: the DRAM is too slow for this run."))
    return Group(*parts)


def _cells(run: Mapping[str, Any]) -> list[str]:
    counts = ("latency", "interval", "cycles", "bursts", "late")
    accesses = ("hits", "misses", "conflicts", "refreshes")
    return [
        *(f"{run[name]:,}" for name in counts),
        f"{run['lateness_ns']:,.0f} ns" if run["late"] else "",
        *(f"{run[name]:,}" for name in accesses),
        f"{run['bus_share']:.1%}",
    ]
