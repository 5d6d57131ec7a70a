"""An estimate of energy as an object."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pulsarray.api.shown import Shown, Table, table
from pulsarray.program import Program
from pulsarray.report.energy import energy
from pulsarray.report.energy_table import load_table

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = ["Energy", "estimate_energy"]


class Energy(Shown):
    """Microjoule of a run, estimated: exact counts of events times a table of energies.

    Parameters
    ----------
    data
        As :func:`pulsarray.report.energy.energy` gives it.
    """

    def __init__(self, data: Mapping[str, Any]) -> None:
        self._data = data

    def __repr__(self) -> str:
        return f"<Energy {self.total:.4g} microjoule, estimated for {self._data['table']}>"

    @property
    def total(self) -> float:
        """Microjoule of the run."""
        return float(self._data["total_uj"])

    @property
    def parts(self) -> Table:
        """One row a part: array, banks, lanes, memory, program."""
        return table([{"part": k, "uj": v} for k, v in self._data["parts_uj"].items()])

    @property
    def units(self) -> Table:
        """One row a unit, by whose instructions it is spent; ``fetch`` reads the program."""
        return table([{"unit": k, "uj": v} for k, v in self._data["units_uj"].items()])

    @property
    def layers(self) -> Table:
        """One row a layer."""
        return table(self._data["layers_uj"])

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain data."""
        return dict(self._data)

    def __rich__(self) -> RenderableType:
        from pulsarray.display.energy import energy_view

        return energy_view(self._data)


def estimate_energy(program: Program, energy_table: str | Path | None = None) -> Energy:
    """The energy of a run of a program.

    Parameters
    ----------
    program
        The program.
    energy_table
        A name of :data:`pulsarray.report.energy_table.ENERGY_TABLES`, or a TOML file of energies
        per event; 45 nm (Horowitz) if not given.

    Raises
    ------
    InputError
        If it is no such table.
    """
    return Energy(energy(program, load_table(energy_table)))
