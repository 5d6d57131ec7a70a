"""Drops what no output of the top module depends on, ports between modules included."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import TypeAlias

from pulsarray.hw.verilog.expression import Expression
from pulsarray.hw.verilog.netlist import Cell, Netlist

__all__ = ["Inputs", "drop_dead"]

Inputs: TypeAlias = Mapping[str, frozenset[str]]
"""Names of the input ports of every module, by the module's name."""
_Place: TypeAlias = tuple[str, str]
_CLOCK = Expression("name", text="clk", base="clk")


def drop_dead(modules: Mapping[str, Netlist], top: str, inputs: Inputs) -> dict[str, Netlist]:
    """The modules that the top needs, without statements, cells and ports that nothing reads.

    Parameters
    ----------
    modules
        By name. A cell of another module keeps all its ports, as long as one output is read.
    top
        The module whose ports all stay.
    inputs
        Also of the modules that are not in ``modules``.
    """
    live = _live(modules, top, inputs)
    for module in modules.values():
        _drop(module, live, modules, inputs, keep_ports=module.name == top)
    return {name: modules[name] for name in _reached(modules, top)}


def _live(modules: Mapping[str, Netlist], top: str, inputs: Inputs) -> set[_Place]:
    """Nets and memories, with their modules, on which an output of the top depends."""
    sources: dict[_Place, set[_Place]] = defaultdict(set)
    for module in modules.values():
        for target, source in _dependences(module, modules, inputs):
            sources[target].add(source)
    nets = modules[top].nets.items()
    waiting = [(top, name) for name, net in nets if net.direction == "output"]
    live = set(waiting)
    while waiting:
        new = sources[waiting.pop()] - live
        live |= new
        waiting += new
    return live


def _dependences(
    module: Netlist, modules: Mapping[str, Netlist], inputs: Inputs
) -> Iterator[tuple[_Place, _Place]]:
    """Pairs of what changes, and what that depends on."""
    name = module.name
    statements = [(target, [value]) for target, value in module.assigns]
    for register in module.registers:
        parts = [part for step in register.steps for part in step if part]
        statements.append((register.target, [*parts, *register.target.parts, _CLOCK]))
    for target, values in statements:
        for written in _bases(target):
            yield from (
                ((name, written), (name, read)) for value in values for read in _bases(value)
            )
    for cell in module.cells:
        for place, source in _through(cell, modules, inputs):
            yield (
                (place if place[0] else (name, place[1])),
                (source if source[0] else (name, source[1])),
            )


def _through(
    cell: Cell, modules: Mapping[str, Netlist], inputs: Inputs
) -> Iterator[tuple[_Place, _Place]]:
    """Dependences that a cell makes; nets around it are in the module without a name."""
    known = inputs[cell.module]
    read = [(port, base) for port, v in cell.ports if port in known for base in _bases(v)]
    for port, value in cell.ports:
        if port in known:
            continue
        for base in _bases(value):
            if cell.module in modules:
                yield ("", base), (cell.module, port)
            else:
                yield from ((("", base), ("", source)) for _, source in read)
    if cell.module in modules:
        yield from (((cell.module, port), ("", base)) for port, base in read)


def _bases(node: Expression) -> set[str]:
    return {leaf.base for leaf in node.leaves() if leaf.base}


def _drop(
    module: Netlist,
    live: set[_Place],
    modules: Mapping[str, Netlist],
    inputs: Inputs,
    *,
    keep_ports: bool,
) -> None:
    def is_live(node: Expression) -> bool:
        return any((module.name, base) in live for base in _bases(node))

    module.assigns = [pair for pair in module.assigns if is_live(pair[0])]
    module.registers = [register for register in module.registers if is_live(register.target)]
    cells = []
    for cell in module.cells:
        if any(is_live(v) for port, v in cell.ports if port not in inputs[cell.module]):
            cell.ports = [
                (port, value)
                for port, value in cell.ports
                if cell.module not in modules or (cell.module, port) in live
            ]
            cells.append(cell)
    module.cells = cells
    named = {base for target, _ in module.assigns for base in _bases(target)}
    named |= {base for value in module.uses() for base in _bases(value)}
    module.nets = {
        name: net
        for name, net in module.nets.items()
        if (module.name, name) in live
        or (net.direction and keep_ports)
        or (not net.direction and name in named)
    }
    module.memories = {
        name: memory for name, memory in module.memories.items() if (module.name, name) in live
    }


def _reached(modules: Mapping[str, Netlist], top: str) -> list[str]:
    """The top, then the modules that it contains, in the order of their names."""
    waiting, reached = [top], {top}
    while waiting:
        cells = {cell.module for cell in modules[waiting.pop()].cells} & modules.keys()
        waiting += sorted(cells - reached)
        reached |= cells
    return [top, *sorted(reached - {top})]
