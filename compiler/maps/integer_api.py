"""From a network in integers to a program."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from pulsarray.compiler.machine.assemble import Assembly, assemble
from pulsarray.compiler.machine.check import check
from pulsarray.compiler.machine.layout import Layout
from pulsarray.compiler.maps.integer import IntegerGraph, needed
from pulsarray.compiler.maps.integer_checks import require_machine
from pulsarray.compiler.maps.map_lowering import Lowering
from pulsarray.compiler.maps.residency import (
    aliases_of,
    resident_units,
    root_of,
    shares_of,
    units_of,
    works_of,
)
from pulsarray.config import Config
from pulsarray.errors import InputError
from pulsarray.isa import Unit
from pulsarray.program import Program

__all__ = ["compile_integer", "compile_layers"]

_PAGE = 4096


@dataclass(frozen=True, eq=False)
class _Candidate:
    """A whole network lowered in one way."""

    lowering: Lowering
    layout: Layout
    assembly: Assembly


def compile_integer(
    graph: IntegerGraph, config: Config, *, batch: int = 1, name: str = ""
) -> Program:
    """Compile a network in integers.

    Parameters
    ----------
    graph
        The network.
    config
        The machine; it needs 8-bit operands.
    batch
        Samples that one run of the program works on.
    name
        Name of the program; the network's if empty.

    Raises
    ------
    InputError
        If something does not fit; the text names the place, the rule and the value.
    """
    _check(graph, config, batch)
    best = min(_candidates(graph, config, batch), key=lambda found: found.assembly.cycles)
    layout, assembly = best.layout, best.assembly
    ranges = _boundaries(assembly, len(best.lowering.layers))
    layers = [
        replace(layer, first=first, last=last)
        for layer, (first, last) in zip(best.lowering.layers, ranges, strict=True)
    ]
    program = Program(
        config=config,
        code=assembly.code,
        code_address=layout.code_address,
        memory=layout.image(assembly.code),
        tensors=layout.tensors,
        layers=layers,
        network=name or graph.name,
        batch=batch,
        notes=_notes(graph, best.lowering),
    )
    check(program)
    return program


def compile_layers(graph: IntegerGraph, config: Config, *, batch: int = 1) -> list[Program]:
    """Compile a network in integers as one program a layer, all in one memory image.

    Run one after the other on one memory they do what :func:`compile_integer`'s program does: to
    look at a network layer by layer.

    Raises
    ------
    InputError
        As :func:`compile_integer`.
    """
    _check(graph, config, batch)
    aliases, copied = aliases_of(needed(graph), config.dim)
    works, layout = works_of(copied), Layout(config)
    shares = shares_of(config, 0, second=any(work.second for work in works))
    lowering = Lowering(copied, works, aliases, {}, shares, config, batch, layout)
    assemblies: list[tuple[int, Assembly]] = []
    address = layout.code_address
    for operations in lowering.parts():
        assembly = assemble(operations, config, address)
        assemblies.append((address, assembly))
        address += -(-len(assembly.code) // _PAGE) * _PAGE
    memory = np.zeros(address, np.uint8)
    image = layout.image(b"")
    memory[: image.size] = image
    for first, assembly in assemblies:
        memory[first : first + len(assembly.code)] = np.frombuffer(assembly.code, np.uint8)
    return [
        Program(
            config=config,
            code=assembly.code,
            code_address=first,
            memory=memory,
            tensors=layout.tensors,
            layers=[replace(layer, first=0, last=len(assembly.layers))],
            network=graph.name,
            batch=batch,
            notes=_notes(graph, lowering),
        )
        for (first, assembly), layer in zip(assemblies, lowering.layers, strict=True)
    ]


def _check(graph: IntegerGraph, config: Config, batch: int) -> None:
    require_machine(graph, config)
    if batch < 1:
        raise InputError(f"batch: must be at least 1, not {batch}")


def _candidates(graph: IntegerGraph, config: Config, batch: int) -> list[_Candidate]:
    """The network with all maps in memory; and, where they fit, with maps that stay on chip."""
    aliases, copied = aliases_of(needed(graph), config.dim)
    works = works_of(copied)
    units = units_of(copied, works, aliases)
    found = []
    most = config.scratchpad_banks - 3
    for count in (0, *range(most, 0, -1)):
        banks = shares_of(config, count, second=False).resident
        resident = resident_units(copied, works, aliases, batch, banks, config)
        if count and not len(units) - 1 <= len(resident) > 0:
            continue
        layout = Layout(config)
        seconds = any(
            work.second and root_of(work.second, aliases) not in resident for work in works
        )
        if config.scratchpad_banks - count < 3 + seconds:
            continue
        shares = shares_of(config, count, second=seconds)
        lowering = Lowering(copied, works, aliases, resident, shares, config, batch, layout)
        assembly = assemble(lowering.operations(), config, layout.code_address)
        found.append(_Candidate(lowering, layout, assembly))
    return found


def _boundaries(assembly: Assembly, count: int) -> list[tuple[int, int]]:
    """Contiguous ranges of instructions, one a layer.

    Each begins with its layer's first STREAM, or its first VECTOR where it has none; what prepares
    a layer while the one before still runs is in that one's range.
    """
    firsts: Sequence[int] = []
    starts: dict[tuple[int, Unit], int] = {}
    for index in range(len(assembly.layers) - 1, -1, -1):
        unit = assembly.instructions[index].format.unit
        if unit in (Unit.STREAM, Unit.VECTOR):
            starts[assembly.layers[index], unit] = index
    end = len(assembly.layers)
    firsts = [
        starts.get((layer, Unit.STREAM), starts.get((layer, Unit.VECTOR), end))
        for layer in range(count)
    ]
    firsts[0] = 0
    limits = [*firsts, end]
    for place in range(count - 1, -1, -1):
        limits[place] = min(limits[place], limits[place + 1])
    return list(pairwise(limits))


def _notes(graph: IntegerGraph, lowering: Lowering) -> dict[str, object]:
    notes: dict[str, object] = {
        "quantization": "int8",
        "calibration_samples": graph.samples,
        "resident": sorted(lowering.resident),
    }
    return notes
