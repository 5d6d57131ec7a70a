"""From Yosys' statistics of cells to what each module and each part takes."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pulsarray.report.synthesis import RESOURCES
from pulsarray.synth.liberty import Liberty
from pulsarray.synth.targets import Target

__all__ = ["Netlist", "Resources", "read_statistics"]

Resources = dict[str, Any]
"""Amounts by the names of :data:`pulsarray.report.synthesis.RESOURCES`."""

_MEMORY = re.compile(r"memory1r1w_(\d+)_(\d+)(?:_\d)?")


@dataclass(frozen=True)
class Netlist:
    """A synthesized design: the cells of each module, instances of modules among them.

    Parameters
    ----------
    cells
        Of each module: how many cells it has of each kind.
    target, liberty
        What they are cells of.
    """

    cells: Mapping[str, Mapping[str, int]]
    target: Target
    liberty: Liberty | None = None

    def own(self, module: str) -> Resources:
        """What a module takes without the instances within it."""
        sums: Counter[str] = Counter()
        for kind, number in self.cells[module].items():
            for resource, amount in self._cell(kind):
                sums[resource] += amount * number  # type: ignore[assignment]  # amounts may be 0.5
        return self._whole(sums)

    def total(self, module: str) -> Resources:
        """What a module takes with everything within it."""
        sums = Counter(self.own(module))
        for kind, number in self.cells[module].items():
            if kind in self.cells:
                inner = self.total(kind)
                sums.update({name: amount * number for name, amount in inner.items()})
        return {entry.name: sums[entry.name] for entry in RESOURCES}

    def instances(self, module: str) -> Counter[str]:
        """How many instances of each module there are in one of a module, itself included."""
        counts = Counter({module: 1})
        for kind, number in self.cells[module].items():
            if kind in self.cells:
                inner = self.instances(kind)
                counts.update({name: amount * number for name, amount in inner.items()})
        return counts

    def _cell(self, kind: str) -> list[tuple[str, float]]:
        if kind == "$scopeinfo":  # what flattening leaves of names
            return []
        if match := _MEMORY.fullmatch(kind):
            is_apart = kind not in self.cells
            return [("memory_bits", int(match[1]) * int(match[2]))] if is_apart else []
        if kind in self.cells:
            return []
        if self.liberty:
            return self.liberty.cell(kind)
        found_cell = self.target.cell(kind)
        cells = [found_cell] if found_cell else []
        if "DFF" in kind and cells and cells[0][0] == "gates":
            cells.append(("ff", 1))
        return cells

    def _whole(self, sums: Mapping[str, float]) -> Resources:
        amounts = {entry.name: sums.get(entry.name, 0) for entry in RESOURCES}
        weights = self.target.equivalents
        amounts["lut_equivalents"] = sum(amounts[name] * weight for name, weight in weights.items())
        return {
            entry.name: _number(amounts[entry.name], entry.kind == "integer") for entry in RESOURCES
        }


def _number(amount: float, is_integer: bool) -> int | float:
    return round(amount) if is_integer or amount == int(amount) else amount


def read_statistics(text: str, target: Target, liberty: Liberty | None = None) -> Netlist:
    """Read what Yosys' ``stat -json`` wrote."""
    modules = json.loads(text)["modules"]
    return Netlist(
        {
            name.removeprefix("\\"): {
                kind.removeprefix("\\"): number
                for kind, number in module["num_cells_by_type"].items()
            }
            for name, module in modules.items()
        },
        target,
        liberty,
    )
