"""A sweep as a page: front, roofline, heat map, best designs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

from pulsarray.display.designs import best, on_hardware, pareto, settings_that_differ, works
from pulsarray.display.plotly_page import LAYOUT, chart_html, charts, titles, write_page

__all__ = ["write_sweep"]

Row = Mapping[str, Any]

_FIGURES = (
    *("cycles", "energy, estimated (uJ)", "multipliers", "mac_utilization", "bound_ratio"),
    "chip_bytes",
)
_COLOURS = ("#2e8b57", "#2a6fb5", "#c0392b", "#8e44ad", "#e0a526", "#2a9fb5", "#7f8c8d")
_MOST_WORKS = 12
"""Works that have charts of their own."""


def write_sweep(path: Path, rows: Sequence[Row]) -> None:
    """Write the page of a sweep, and the script beside it.

    Raises
    ------
    InputError
        If it cannot be written.
    """
    costed = [row for row in rows if not row["refused"]]
    settings = settings_that_differ(costed)
    charts = [_front(costed, settings), _roofline(costed, settings)] if costed else []
    maps = [_heat(costed, work, settings) for work in works(costed)[:_MOST_WORKS]]
    charts += [chart for chart in maps if chart is not None]
    refused: dict[str, int] = {}
    for row in rows:
        if row["refused"]:
            refused[row["refused"]] = refused.get(row["refused"], 0) + 1
    values = {
        "points": len(rows),
        "works": works(rows),
        "refused": refused,
        "charts": [chart_html(chart) for chart in charts],
        **_best(costed, settings),
    }
    write_page(path, "sweep.html", values)


def _best(rows: Sequence[Row], settings: Sequence[str]) -> dict[str, Any]:
    """The table of the best designs; what they take on hardware is in it where it is known."""
    shown = best(rows)
    headings = titles(["", "network", *settings, *_FIGURES])
    cells = [_cells(row, settings) for row in shown]
    if any(map(on_hardware, shown)):
        headings.append("on hardware")
        cells = [[*line, on_hardware(row)] for line, row in zip(cells, shown, strict=True)]
    return {"headings": headings, "best": cells}


def _cells(row: Row, settings: Sequence[str]) -> list[str]:
    figures = (
        f"{row['cycles']:,}", f"{row['energy_uj']:,.4g}", f"{row['multipliers']:,}",
        f"{row['mac_utilization']:.1%}",
        f"{row['bound_ratio']:.3f}" if row["bound_ratio"] else "", f"{row['chip_bytes']:,}",
    )  # fmt: skip
    named = [str(row[name]) for name in settings]
    return ["*" if row["pareto"] else "", row["network"], *named, *figures]


def _told(row: Row, settings: Sequence[str]) -> str:
    """What is said of a point under the mouse."""
    parts = [
        f"<b>{row['network']}</b>",
        f"{row['cycles']:,} cycles",
        f"{row['energy_uj']:,.4g} microjoule, estimated",
    ]
    parts += [f"{name.replace('_', ' ')} {row[name]}" for name in ("dim", *settings)]
    return "<br>".join(dict.fromkeys(parts))


def _front(rows: Sequence[Row], settings: Sequence[str]) -> Any:
    """Cycles against bytes on chip; a design that no other beats is large."""
    graph_objects = charts()

    figure, front = graph_objects.Figure(), {id(row) for row in pareto(rows)}
    for number, work in enumerate(works(rows)):
        chosen = [row for row in rows if row["network"] == work]
        figure.add_scatter(
            x=[row["chip_bytes"] for row in chosen],
            y=[row["cycles"] for row in chosen],
            mode="markers",
            name=work,
            text=[_told(row, settings) for row in chosen],
            hoverinfo="text",
            marker={
                "color": _COLOURS[number % len(_COLOURS)],
                "size": [12 if id(row) in front else 6 for row in chosen],
                "opacity": [1.0 if id(row) in front else 0.35 for row in chosen],
            },
        )
    figure.update_layout(
        LAYOUT,
        title="Cycles and memory on chip",
        xaxis={"title": "bytes on chip", "type": "log"},
        yaxis={"title": "cycles", "type": "log"},
    )
    return figure


def _roofline(rows: Sequence[Row], settings: Sequence[str]) -> Any:
    """Products a cycle against products a byte, under the roofs of the machines."""
    graph_objects = charts()

    figure = graph_objects.Figure()
    measured = [row for row in rows if row["macs_per_byte"]]
    ends = [row["macs_per_byte"] for row in measured] or [1.0]
    low, high = min(ends) / 2, max(ends) * 2
    roofs = {(row["multipliers"], row["bus_bits"] // 8 / row["memory_interval"]) for row in rows}
    for peak, bandwidth in sorted(roofs)[:_MOST_WORKS]:
        knee = min(max(peak / bandwidth, low), high)
        xs = sorted({low, knee, high})
        figure.add_scatter(
            x=xs,
            y=[min(peak, x * bandwidth) for x in xs],
            mode="lines",
            line={"color": "#9aa5ae", "width": 1},
            hovertext=f"{peak:,} multipliers, {bandwidth:g} bytes a cycle",
            hoverinfo="text",
            showlegend=False,
        )
    for number, work in enumerate(works(measured)):
        chosen = [row for row in measured if row["network"] == work]
        figure.add_scatter(
            x=[row["macs_per_byte"] for row in chosen],
            y=[row["macs"] / row["cycles"] for row in chosen],
            mode="markers",
            name=work,
            text=[_told(row, settings) for row in chosen],
            hoverinfo="text",
            marker={"color": _COLOURS[number % len(_COLOURS)], "size": 8},
        )
    figure.update_layout(
        LAYOUT,
        title="Roofline",
        xaxis={"title": "MACs a byte of memory", "type": "log"},
        yaxis={"title": "MACs a cycle", "type": "log"},
    )
    return figure


def _axes(rows: Sequence[Row], settings: Sequence[str]) -> tuple[str, str] | None:
    """The two settings with the most combinations, of which neither follows from the other."""
    counts = {name: len({row[name] for row in rows}) for name in settings}
    pairs = {
        pair: len({(row[pair[0]], row[pair[1]]) for row in rows})
        for pair in combinations((name for name in settings if counts[name] > 1), 2)
    }
    free = {pair: n for pair, n in pairs.items() if n > max(counts[name] for name in pair)}
    return max(free, key=lambda pair: free[pair]) if free else None


def _heat(rows: Sequence[Row], work: str, settings: Sequence[str]) -> Any:
    """Fewest cycles over the two settings with the most values; None without two."""
    graph_objects = charts()

    chosen = [row for row in rows if row["network"] == work]
    axes = _axes(chosen, settings)
    if axes is None:
        return None
    down, along = axes
    ys, xs = (sorted({row[name] for row in chosen}) for name in axes)
    least: dict[tuple[Any, Any], int] = {}
    for row in chosen:
        place = row[down], row[along]
        least[place] = min(least.get(place, row["cycles"]), row["cycles"])
    figure = graph_objects.Figure()
    cells = [[least.get((y, x)) for x in xs] for y in ys]
    figure.add_heatmap(
        x=[str(x) for x in xs],
        y=[str(y) for y in ys],
        z=cells,
        text=[["" if cell is None else f"{cell:,}" for cell in line] for line in cells],
        texttemplate="%{text}" if len(xs) * len(ys) <= 64 else "",
        colorscale="Viridis_r",
        showscale=len(xs) * len(ys) > 64,
    )
    figure.update_layout(
        LAYOUT,
        title=f"{work}: fewest cycles",
        xaxis={"title": along.replace("_", " "), "type": "category"},
        yaxis={"title": down.replace("_", " "), "type": "category"},
    )
    return figure
