"""A report as an object: figures, tables, and how it is shown."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pulsarray.api.shown import Shown, Table, table
from pulsarray.errors import InputError
from pulsarray.files import write_atomically
from pulsarray.report import load_report

if TYPE_CHECKING:
    from rich.console import RenderableType

    from pulsarray.api.energy import Energy

__all__ = ["Report"]


class Report(Shown, Mapping[str, Any]):
    """What a run or a program costs (docs/report.md): a mapping of all fields.

    Parameters
    ----------
    data
        The fields, as :func:`pulsarray.report.build_report` gives them.
    """

    def __init__(self, data: Mapping[str, Any]) -> None:
        self._data = data

    def __getitem__(self, name: str) -> Any:
        return self._data[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._data)

    def __len__(self) -> int:
        return len(self._data)

    def __repr__(self) -> str:
        return f"<Report of {self['network']}, batch {self['batch']}: {self.cycles:,} cycles>"

    @property
    def cycles(self) -> int:
        """Machine cycles from start to interrupt."""
        return int(self["cycles"])

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the mathematics."""
        return int(self["macs"])

    @property
    def utilization(self) -> float:
        """Share of all multiplier cycles that the mathematics needs, from 0 to 1."""
        return float(self["mac_utilization"])

    @property
    def layers(self) -> Table:
        """One row a layer: shape, cycles, bound, bytes; empty where the machine has no trace."""
        return table(self["layers"])

    @property
    def units(self) -> Table:
        """One row a unit: cycles by state."""
        rows = [{"unit": name, **unit} for name, unit in self["units"].items()]
        return table([{k: v for k, v in row.items() if k != "waits"} for row in rows])

    @property
    def explanation(self) -> Table:
        """One row a cause of cycles above the bound."""
        return table(self["explanation"])

    @property
    def energy(self) -> Energy:
        """An estimate of the energy of a run.

        Raises
        ------
        InputError
            If the report is of an earlier release, which made none.
        """
        from pulsarray.api.energy import Energy

        if "energy_estimate" not in self:
            raise InputError("energy: the report is of an earlier release; make it again")
        return Energy(self["energy_estimate"])

    def to_dict(self) -> dict[str, Any]:
        """All fields as plain data."""
        return dict(self._data)

    def save(self, path: str | Path) -> None:
        """Write the report as JSON; the file appears whole or not at all.

        Raises
        ------
        InputError
            If it cannot be written.
        """
        text = json.dumps(self._data, indent=2)
        write_atomically(Path(path), text.encode() + b"\n")

    @classmethod
    def load(cls, path: str | Path) -> Report:
        """Read what :meth:`save` and ``--report`` write.

        Raises
        ------
        InputError
            If it is unreadable or no report of this version.
        """
        return cls(load_report(Path(path)))

    def __rich__(self) -> RenderableType:
        from pulsarray.display.view import view

        return view(self._data)
