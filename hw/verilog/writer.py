"""A module as text: ports in its header, wires declared where they are assigned if possible, and
everything that the clock changes in one block.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter

from pulsarray.hw.verilog.clocked import clocked
from pulsarray.hw.verilog.expression import Expression
from pulsarray.hw.verilog.layout import fill, packed, tied
from pulsarray.hw.verilog.netlist import Net, Netlist

__all__ = ["write"]


def write(module: Netlist) -> str:
    """Verilog 2005 of a module."""
    defined = _order(module)
    lines = [_header(module), *_declarations(module, defined), *_assignments(module, defined)]
    lines += [*_initial(module), *clocked(module.registers), *_cells(module), "endmodule"]
    return "\n".join(lines)


def _range(width: int) -> str:
    return f"[{width - 1}:0] " if width > 1 else ""


def _header(module: Netlist) -> str:
    """The module's name and ports, grouped by direction and width."""
    groups: dict[tuple[str, int, str], list[str]] = {}
    for name, net in module.nets.items():
        if net.variable and net.direction:
            groups["output reg", net.width, name] = [_with_initial(name, net)]
        elif net.direction:
            groups.setdefault((net.direction, net.width, ""), []).append(name)
    ports = [
        f"{tied(f'{kind} {_range(width)}')}{', '.join(names)}"
        for (kind, width, _), names in sorted(groups.items())
    ]
    return fill(f"module {module.name}({', '.join(ports)});", 0)


def _with_initial(name: str, net: Net) -> str:
    """A register's declaration; in it, its value is there before a clock edge at time 0."""
    return tied(f"{name} = {net.initial}") if net.initial else name


def _order(module: Netlist) -> dict[str, Expression]:
    """Wires that can be declared where all their bits are assigned, each after those it reads."""
    values = {
        target.text: value
        for target, value in module.assigns
        if target.kind == "name" and not module.nets[target.base].direction
    }
    while True:
        needs = {
            name: [
                base
                for base in dict.fromkeys(leaf.base for leaf in value.leaves())
                if base in values
            ]
            for name, value in values.items()
        }
        try:
            return {name: values[name] for name in TopologicalSorter(needs).static_order()}
        except CycleError as error:
            for name in set(error.args[1]):
                del values[name]


def _declarations(module: Netlist, defined: Container[str]) -> Iterator[str]:
    """Registers, memories, and the wires that are not declared where they are assigned."""
    groups: dict[tuple[str, int], list[str]] = {}
    for name, net in module.nets.items():
        if net.variable and not net.direction:
            groups.setdefault(("reg", net.width), []).append(_with_initial(name, net))
        elif not net.direction and name not in defined:
            groups.setdefault(("wire", net.width), []).append(name)
    for (kind, width), names in sorted(groups.items()):
        yield fill(f"{kind} {_range(width)}{', '.join(names)};")
    for name, memory in module.memories.items():
        yield f"  reg {_range(memory.width)}{name} [0:{memory.depth - 1}];"


def _assignments(module: Netlist, defined: Mapping[str, Expression]) -> Iterator[str]:
    """Wires that are declared there, then everything else that is assigned."""
    for name, value in defined.items():
        yield fill(f"wire {_range(module.nets[name].width)}{name} = {value};")
    for target, value in module.assigns:
        if target.text not in defined:
            yield fill(f"assign {target} = {value};")


def _initial(module: Netlist) -> Iterator[str]:
    """What memories hold at power-on; a loop where all words are equal."""
    for name, memory in module.memories.items():
        words = [f"{name}[{place}] = {word};" for place, word in enumerate(memory.initial)]
        if words and len(set(memory.initial)) == 1:
            i = module.free_name("i")
            yield f"  integer {i};"
            loop = f"for ({i} = 0; {i} < {memory.depth}; {i} = {i} + 1)"
            yield fill(f"initial {loop} {name}[{i}] = {memory.initial[0]};")
        elif words:
            yield from ("  initial begin", *packed(words, 4), "  end")


def _cells(module: Netlist) -> Iterator[str]:
    for cell in module.cells:
        ports = ", ".join(f".{port}({value})" for port, value in cell.ports)
        yield fill(f"{cell.module} {cell.name} ({ports});")
