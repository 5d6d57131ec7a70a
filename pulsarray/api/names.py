"""What has a name: networks, workloads, presets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pulsarray.api.shown import Shown, Table, table
from pulsarray.config import PRESETS

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = ["Catalogue", "catalogue"]


class Catalogue(Shown):
    """Networks that :func:`pulsarray.load` takes by name, workloads that :func:`pulsarray.train`
    takes, and presets of machines.

    Parameters
    ----------
    data
        Rows by kind.
    """

    def __init__(self, data: dict[str, list[dict[str, Any]]]) -> None:
        self._data = data

    @property
    def networks(self) -> Table:
        """One row a network."""
        return table(self._data["networks"])

    @property
    def workloads(self) -> Table:
        """One row a workload."""
        return table(self._data["workloads"])

    @property
    def presets(self) -> Table:
        """One row a machine, with the parameters that tell presets apart."""
        return table(self._data["presets"])

    def to_dict(self) -> dict[str, list[dict[str, Any]]]:
        """Everything as plain data."""
        return self._data

    def __rich__(self) -> RenderableType:
        from pulsarray.display.catalogue import catalogue_view

        return catalogue_view(self._data)


def catalogue() -> Catalogue:
    """Everything that has a name."""
    from pulsarray.zoo.networks import DESCRIPTIONS
    from pulsarray.zoo.workloads import WORKLOADS

    networks = [{"name": name, "what": text} for name, text in DESCRIPTIONS.items()]
    workloads = [
        {"name": x.name, "what": x.description, "loss": x.loss.name, "preset": x.config}
        for x in WORKLOADS.values()
    ]
    return Catalogue({"networks": networks, "workloads": workloads, "presets": _presets()})


def _presets() -> list[dict[str, Any]]:
    rows = {name: config.to_dict() for name, config in PRESETS.items()}
    differing = [
        key for key in next(iter(rows.values())) if len({r[key] for r in rows.values()}) > 1
    ]
    return [{"name": name, **{key: row[key] for key in differing}} for name, row in rows.items()]
