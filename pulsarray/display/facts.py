"""Names and values as a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table

__all__ = ["facts"]


def facts(rows: Mapping[str, Any]) -> Table:
    """A table of names and values."""
    table = Table(box=None, show_header=False, padding=(0, 1))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in rows.items():
        table.add_row(name, f"{value:,}" if type(value) is int else str(value))
    return table
