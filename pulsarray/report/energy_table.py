"""Tables of energies per event: those of named technologies, and files of one's own."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import pairwise
from math import exp, log
from pathlib import Path
from typing import Any, TypeGuard

from pulsarray.errors import InputError

__all__ = ["DEFAULT_TABLE", "ENERGY_TABLES", "EnergyTable", "load_table"]

_EVENTS = ("multiply", "add", "sram", "dram")
_ON_CHIP = ("multiply", "add", "sram")
_FOLDER = files("pulsarray.report").joinpath("energies")

ENERGY_TABLES = tuple(
    sorted(entry.name.removesuffix(".toml") for entry in _FOLDER.iterdir() if entry.is_file())
)
"""Names of the tables that come along."""

DEFAULT_TABLE = "horowitz45"
"""The table that is taken if no other is named."""


@dataclass(frozen=True)
class EnergyTable:
    """Energies of events, in picojoule.

    Parameters
    ----------
    name, source
        What it is called, and where its figures come from.
    energies
        For each event (``multiply``, ``add`` by bits; ``sram`` by bytes of the memory and ``dram``,
        of 64 bits) energies by size.
    """

    name: str
    source: str
    energies: Mapping[str, Mapping[float, float]]

    @property
    def label(self) -> str:
        """Its name, and a digest of its figures, by which two of one name are told apart."""
        text = repr([(event, sorted(sizes.items())) for event, sizes in self.energies.items()])
        return f"{self.name} {hashlib.sha256(text.encode()).hexdigest()[:8]}"

    def of(self, event: str, size: float) -> float:
        """Picojoule of an event of a size, by a power law between the nearest that are listed."""
        points = sorted(self.energies[event].items())
        if len(points) == 1:
            return points[0][1]
        pairs = list(pairwise(points))
        below, above = next((p for p in pairs if size <= p[1][0]), pairs[-1])
        power = log(above[1] / below[1]) / log(above[0] / below[0])
        return below[1] * exp(power * log(size / below[0]))


def load_table(table: str | Path | None = None) -> EnergyTable:
    """A table by its name (:data:`ENERGY_TABLES`), or from a TOML file.

    A file has ``name``, ``source`` and picojoule by size under ``[multiply]``, ``[add]``,
    ``[sram]`` and ``[dram]``; or, instead of these, ``scaled``, a name, and ``factor``, which
    energies on chip are multiplied with.

    Parameters
    ----------
    table
        Name or file; :data:`DEFAULT_TABLE` if not given.

    Raises
    ------
    InputError
        If it cannot be read, or something is missing or no energy.
    """
    name = DEFAULT_TABLE if table is None else str(table)
    if name in ENERGY_TABLES:
        return _named(name)
    try:
        text = Path(name).read_text(encoding="utf-8")
        return _table(tomllib.loads(text), name)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        known = ", ".join(ENERGY_TABLES)
        raise InputError(
            f"{name}: neither a table that comes along ({known}) nor a readable TOML file: {error}"
        ) from None


@cache
def _named(name: str) -> EnergyTable:
    text = _FOLDER.joinpath(f"{name}.toml").read_text(encoding="utf-8")
    return _table(tomllib.loads(text), name)


def _table(values: Mapping[str, Any], where: str) -> EnergyTable:
    for name in ("name", "source"):
        if not isinstance(values.get(name), str):
            raise InputError(f"{where}: {name} must be a text, not {values.get(name)!r}")
    entries = ("scaled", "factor") if "scaled" in values else _EVENTS
    unknown = values.keys() - {"name", "source", *entries}
    if unknown:
        raise InputError(f"{where}: unknown entry {sorted(unknown)[0]!r}; known: {entries}")
    if "scaled" in values:
        energies = _scaled(values["scaled"], values.get("factor"), where)
    else:
        energies = {event: _energies(values.get(event), f"{where}: {event}") for event in _EVENTS}
    return EnergyTable(values["name"], values["source"], energies)


def _scaled(name: object, factor: object, where: str) -> dict[str, dict[float, float]]:
    if name not in ENERGY_TABLES:
        raise InputError(f"{where}: scaled must be one of {', '.join(ENERGY_TABLES)}, not {name!r}")
    if not _is_positive(factor):
        raise InputError(f"{where}: factor must be a positive number, not {factor!r}")
    return {
        event: {
            size: energy * (float(factor) if event in _ON_CHIP else 1.0)
            for size, energy in sizes.items()
        }
        for event, sizes in _named(str(name)).energies.items()
    }


def _energies(value: object, where: str) -> dict[float, float]:
    if not isinstance(value, dict) or not value:
        raise InputError(f"{where}: needs picojoule by size, not {value!r}")
    energies: dict[float, float] = {}
    for size, energy in value.items():
        numeric = size.replace(".", "", 1).isdecimal() and float(size) > 0
        if not numeric or not _is_positive(energy):
            raise InputError(f"{where}: must be positive picojoule by size, not {size} = {energy}")
        energies[float(size)] = float(energy)
    return energies


def _is_positive(value: object) -> TypeGuard[float]:
    return type(value) in (int, float) and 0 < value < float("inf")  # type: ignore[operator]
