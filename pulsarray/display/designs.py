"""Designs of a sweep: which are best, and a table of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from pulsarray.report.hardware import AMOUNTS

__all__ = ["COSTS", "best", "on_hardware", "pareto", "settings_that_differ", "sweep_view", "works"]

Row = Mapping[str, Any]

COSTS = ("cycles", "multipliers", "chip_bytes")
"""What a design is to have little of."""
_SHOWN = 10
_SETTINGS = (
    *("batch", "memory_latency", "memory_interval", "dim", "operand_bits", "acc_bits"),
    *("scale_bits", "scratchpad_banks", "scratchpad_depth", "accumulator_banks"),
    *("accumulator_depth", "parameter_depth", "tables", "table_segments", "bus_bits"),
    *("burst_beats", "outstanding", "queue_depth", "transposer", "vector_multiply", "training"),
    *("counters", "trace", "tflite", "residual", "leaky", "fast_clock", "vector_lanes"),
    *("queue_blocks", "effort"),
)


def works(rows: Sequence[Row]) -> list[str]:
    """Networks in the order that they come."""
    return list(dict.fromkeys(row["network"] for row in rows))


def settings_that_differ(rows: Sequence[Row]) -> list[str]:
    """Settings of which there are several values."""
    return [name for name in _SETTINGS if len({row[name] for row in rows}) > 1]


def pareto(rows: Sequence[Row]) -> list[Row]:
    """Rows of which no other of the same work and memory is at least as good in everything and
    better in something; of equal ones the first. Least cycles first.
    """
    kept: list[Row] = []
    for work in _alike(rows):
        front: list[tuple[int, ...]] = []
        for row in sorted(work, key=_costs):
            costs = _costs(row)
            if not any(all(a <= b for a, b in zip(other, costs, strict=True)) for other in front):
                front.append(costs)
                kept.append(row)
    return kept


def _alike(rows: Sequence[Row]) -> Iterator[list[Row]]:
    """Rows with costs, those together that do the same with the same memory."""
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        if not row["refused"]:
            key = (row["network"], row["batch"], row["memory_latency"], row["memory_interval"])
            groups.setdefault(key, []).append(row)
    yield from groups.values()


def _costs(row: Row) -> tuple[int, ...]:
    return tuple(row[name] for name in COSTS)


def best(rows: Sequence[Row], shown: int = _SHOWN) -> list[Row]:
    """The designs with the fewest cycles of each work, those of the front marked."""
    front = {id(row) for row in pareto(rows)}
    marked: list[Row] = []
    for work in works(rows):
        costed = [row for row in rows if row["network"] == work and not row["refused"]]
        for row in sorted(costed, key=_costs)[:shown]:
            marked.append({**row, "pareto": id(row) in front})
    return marked


def on_hardware(row: Row) -> str:
    """What a design takes where it was synthesized; empty elsewhere."""
    figures = [f"{row[name]:,} {text}" for name, text in AMOUNTS.items() if row[name] != ""]
    return f"{row['target']}: {', '.join(figures)}" if figures else ""


def sweep_view(rows: Sequence[Row]) -> RenderableType:
    """The best designs, and what was refused."""
    refused = [row for row in rows if row["refused"]]
    parts: list[RenderableType] = [
        Text(f"{len(rows):,} points; of each network the {_SHOWN} with the fewest cycles; * no "
             "other is better in cycles, multipliers and memory on chip")
    ]  # fmt: skip
    parts.append(_table(best(rows), settings_that_differ(rows)))
    if refused:
        parts.append(Text(f"{len(refused):,} have no cost; the first: {refused[0]['refused']}"))
    return Group(*parts)


def _table(rows: Sequence[Row], settings: Sequence[str]) -> Table:
    table = Table(box=None, padding=(0, 1), header_style="bold")
    table.add_column("network")
    for name in (
        *settings,
        "cycles",
        "microjoule (est.)",
        "multipliers",
        "MACs",
        "bound",
        "bytes on chip",
    ):
        table.add_column(name.replace("_", " "), justify="right")
    synthesized = any(map(on_hardware, rows))
    if synthesized:
        table.add_column("on hardware")
    for row in rows:
        table.add_row(
            f"{'* ' if row['pareto'] else '  '}{row['network']}",
            *(str(row[name]) for name in settings),
            f"{row['cycles']:,}",
            f"{row['energy_uj']:,.4g}",
            f"{row['multipliers']:,}",
            f"{row['mac_utilization']:.1%}",
            f"{row['bound_ratio']:.3f}" if row["bound_ratio"] else "",
            f"{row['chip_bytes']:,}",
            *([on_hardware(row)] if synthesized else []),
        )
    return table
