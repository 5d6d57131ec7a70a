"""Names without the numbers that Amaranth tells equal names apart with."""

from __future__ import annotations

import itertools
import re

from pulsarray.hw.verilog.liveness import Inputs
from pulsarray.hw.verilog.netlist import Netlist

__all__ = ["name_apart"]

_NUMBERED = re.compile(r"(\w+?)\$\w+(?:\$\w+)*")
_UNNAMED = re.compile(r"_\d+_")


def name_apart(module: Netlist, inputs: Inputs) -> None:
    """Name nets of equal names after the cell and port that drive them, others by counting."""
    everything = [*module.nets, *module.memories, *(cell.name for cell in module.cells)]
    stems = {name: match[1] for name in everything if (match := _NUMBERED.fullmatch(name))}
    taken = set(map(_bare, everything))
    names: dict[str, str] = {}

    def rename(name: str, wanted: str) -> None:
        names[name] = next(
            text
            for number in itertools.count(1)
            if (text := wanted if number == 1 else f"{wanted}_{number}") not in taken
        )
        taken.add(names[name])

    for cell in module.cells:
        if cell.name in stems:
            stem = stems[cell.name]
            net = module.nets.get(stem)
            if net and not net.direction and stem not in dict(cell.ports):
                stems[stem] = stem  # the net gives way: a cell is how a user finds a unit
                taken.discard(stem)
            rename(cell.name, stem)
            cell.name = names.pop(cell.name)
    repeated = set(stems.values())
    for cell in module.cells:
        for port, value in cell.ports:
            alike = value.base in stems or value.base in repeated or _UNNAMED.fullmatch(value.base)
            if port not in inputs[cell.module] and value.kind == "name" and alike:
                net = module.nets[value.base]
                if not net.direction and value.base not in names:
                    rename(value.base, f"{_bare(cell.name)}_{_bare(port)}")
    for name in (*module.nets, *module.memories):
        if name in stems and name not in names:
            rename(name, stems[name])
    module.rename(names)


def _bare(name: str) -> str:
    """The name without what escapes it."""
    return name.strip("\\ ")
