"""Reports of syntheses side by side: the same data as a comparison of runs gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pulsarray.report.synthesis import RESOURCES

__all__ = [
    "resources_used",
    "size_resource",
    "synthesis_rows",
    "synthesis_settings",
    "synthesis_size",
]

Report = Mapping[str, Any]
Rows = list[tuple[str, list[float | None]]]


def resources_used(reports: Sequence[Report]) -> list[str]:
    """Resources that any of some reports has."""
    names = [entry.name for entry in RESOURCES]
    return [name for name in names if any(report["total"][name] for report in reports)]


def synthesis_rows(reports: Sequence[Report]) -> Rows:
    """Figures of each report: totals, clock, and the size of each unit."""
    shown = resources_used(reports)
    rows: Rows = [(name, [report["total"][name] for report in reports]) for name in shown]
    if any(report["flat"] for report in reports):
        rows += [
            (f"as one module {name}", [(r["flat"] or {}).get(name) for r in reports])
            for name in shown
        ]
    if any(report["timing"] for report in reports):
        rows.append(("fmax_mhz", [(r["timing"] or {}).get("fmax_mhz") for r in reports]))
    size = size_resource(reports[0])
    tables = [{unit["name"]: unit[size] for unit in report["units"]} for report in reports]
    for name in dict.fromkeys(name for table in tables for name in table):
        rows.append((f"{name} {size}", [table.get(name) for table in tables]))
    return rows


def synthesis_settings(report: Report) -> dict[str, Any]:
    """What a report was made for."""
    return {
        "part": report["part"],
        "target": report["target"],
        "device": report["device"],
        "tools": ", ".join(report["tools"]),
        **report["config"],
    }


def synthesis_size(report: Report) -> tuple[int, str]:
    """What syntheses are compared in, and what it is called."""
    name = size_resource(report)
    return report["total"][name], name.replace("_", " ")


def size_resource(report: Report) -> str:
    """The resource that a design's size is told in."""
    return "gates" if report["target"] == "gates" else "lut_equivalents"
