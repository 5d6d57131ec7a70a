"""What has a name, as people read it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

__all__ = ["catalogue_view"]

_TITLES = {
    "networks": "Networks (compile, estimate, inspect, sweep)",
    "workloads": "Workloads (train, gradcheck)",
    "presets": "Presets of machines (--config)",
}
_PRESET_KEYS = ("name", "dim", "operand_bits", "bus_bits", "scratchpad_banks", "scratchpad_depth",
                "accumulator_banks", "accumulator_depth", "training")  # fmt: skip


def catalogue_view(data: Mapping[str, Sequence[Mapping[str, Any]]]) -> RenderableType:
    """A table for each kind."""
    parts: list[RenderableType] = []
    for kind, rows in data.items():
        keys = _PRESET_KEYS if kind == "presets" else tuple(rows[0])
        parts += [Text(_TITLES[kind], "bold"), _table(rows, keys), Text()]
    return Group(*parts[:-1])


def _table(rows: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> Table:
    table = Table(box=None, padding=(0, 1), header_style="dim")
    for key in keys:
        number = isinstance(rows[0][key], int) and not isinstance(rows[0][key], bool)
        table.add_column(key.replace("_", " "), justify="right" if number else "left")
    for row in rows:
        table.add_row(*(str(row[key]) for key in keys))
    return table
