"""What came of a sweep: a table, the best designs, pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pulsarray.api.shown import Shown, Table, table

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = ["Sweep"]


class Sweep(Shown):
    """Designs with their costs, in the order that they were asked for.

    Parameters
    ----------
    rows
        One a design, work and memory.
    """

    def __init__(self, rows: Sequence[Mapping[str, Any]]) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __repr__(self) -> str:
        return f"<Sweep of {len(self):,} points, {len(self.refused):,} refused>"

    @property
    def rows(self) -> Table:
        """All points."""
        return table(self._rows)

    def to_list(self) -> list[dict[str, Any]]:
        """All points as plain data."""
        return [dict(row) for row in self._rows]

    @property
    def refused(self) -> Table:
        """Points that have no cost, with the reason in the column ``refused``."""
        return table([row for row in self._rows if row["refused"]])

    @property
    def best(self) -> Table:
        """Designs of which no other is better in cycles and in multipliers and memory on chip."""
        from pulsarray.display.designs import pareto

        return table(pareto(self._rows))

    def save_page(self, path: str | Path) -> None:
        """Write a page with charts, and the script that draws them beside it.

        Raises
        ------
        InputError
            If it cannot be written.
        """
        from pulsarray.display.sweep import write_sweep

        write_sweep(Path(path), self._rows)

    def __rich__(self) -> RenderableType:
        from pulsarray.display.designs import sweep_view

        return sweep_view(self._rows)
