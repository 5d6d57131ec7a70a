"""A module as combinational logic: what lies around its registers, memories and cells.

What a module does is then its outputs, what its registers take at the next clock edge, and what its
memories and cells are given: all of them functions of its inputs, of what the registers hold and of
what memories and cells give.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from pulsarray.errors import CheckFailed

__all__ = ["Bit", "Block", "Cut", "Place", "cut"]

Bit: TypeAlias = int | str
"""A net of Yosys' JSON, or a constant."""
Place: TypeAlias = tuple[str, int]
"""A bit of a signal: its name and its number."""
_READ_INPUTS = ("RD_CLK", "RD_EN", "RD_ARST", "RD_SRST", "RD_ADDR")
_WRITE_INPUTS = ("WR_CLK", "WR_EN", "WR_ADDR", "WR_DATA")
_NAMES = ("MEMID",)
"""Parameters of a memory that do not say what it does."""


@dataclass(frozen=True)
class Block:
    """A memory, or a cell of another module.

    Members
    -------
    kind
        Its type, with the parameters that say what it does.
    given, gives
        Bits of its input and output ports.
    """

    kind: str
    given: dict[str, list[Bit]]
    gives: dict[str, list[Bit]]


@dataclass
class Cut:
    """A module taken apart.

    Members
    -------
    inputs, outputs
        Bits of the ports.
    taken
        By the bit that holds a register's bit: the bit that it takes at a clock edge.
    starts
        By the same bit: what it holds at first, ``0`` or ``1``; absent if that is open.
    blocks
        Memories and cells, by name.
    logic
        The operators.
    signals
        Bits of everything that has a name.
    bits
        Above the number of every bit.
    """

    inputs: dict[str, list[Bit]] = field(default_factory=dict)
    outputs: dict[str, list[Bit]] = field(default_factory=dict)
    taken: dict[Bit, Bit] = field(default_factory=dict)
    starts: dict[Bit, str] = field(default_factory=dict)
    blocks: dict[str, Block] = field(default_factory=dict)
    logic: dict[str, Any] = field(default_factory=dict)
    signals: dict[str, list[Bit]] = field(default_factory=dict)
    bits: int = 0

    def new_bits(self, number: int) -> list[Bit]:
        """Bits that nothing else is."""
        self.bits += number
        return list(range(self.bits - number, self.bits))

    def names(self) -> dict[Bit, list[Place]]:
        """The names that every bit has."""
        names: dict[Bit, list[Place]] = {}
        for name, bits in self.signals.items():
            for number, bit in enumerate(bits):
                names.setdefault(bit, []).append((name, number))
        return names


def cut(modules: Mapping[str, Any], name: str) -> Cut:
    """Take a module apart.

    Parameters
    ----------
    modules
        Of Yosys' JSON, by name.

    Raises
    ------
    CheckFailed
        If a register is no plain one at the rising edge of the module's clock, or a cell has other
        ports than its module.
    """
    module = modules[name]
    parts = Cut(bits=_above(module))
    for name, port in module["ports"].items():
        ports = parts.inputs if port["direction"] == "input" else parts.outputs
        ports[name] = port["bits"]
    for name, net in module["netnames"].items():
        if not net["hide_name"]:
            parts.signals[name] = net["bits"]
        starts = reversed(net["attributes"].get("init", ""))
        parts.starts |= {b: s for b, s in zip(net["bits"], starts, strict=False) if s in "01"}
    for name, cell in module["cells"].items():
        _add(parts, name, cell, modules)
    return parts


def _above(module: Mapping[str, Any]) -> int:
    bits = (bit for net in module["netnames"].values() for bit in net["bits"])
    return 1 + max((bit for bit in bits if isinstance(bit, int)), default=1)


def _add(parts: Cut, name: str, cell: Mapping[str, Any], modules: Mapping[str, Any]) -> None:
    kind, wires = cell["type"], cell["connections"]
    if kind == "$dff":
        _check_clock(parts, name, cell)
        parts.taken |= dict(zip(wires["Q"], wires["D"], strict=True))
    elif kind == "$mem_v2":
        parts.blocks[name] = _memory(parts, name, cell)
    elif kind in modules:
        parts.blocks[name] = _instance(name, cell, modules[kind]["ports"])
    elif set(wires) <= {"A", "B", "S", "Y"}:
        parts.logic[name] = cell
    else:
        raise CheckFailed(f"cell {name}: is of type {kind}, which holds something")


def _instance(name: str, cell: Mapping[str, Any], ports: Mapping[str, Any]) -> Block:
    wires = cell["connections"]
    inputs = {port for port in ports if ports[port]["direction"] == "input"}
    if wrong := inputs - wires.keys() | wires.keys() - ports.keys():
        raise CheckFailed(f"cell {name}: connects other ports than its module has: {wrong}")
    gets = {port: bits for port, bits in wires.items() if port in inputs}
    gives = {port: bits for port, bits in wires.items() if port not in inputs}
    return Block(cell["type"], gets, gives)


def _memory(parts: Cut, name: str, cell: Mapping[str, Any]) -> Block:
    """A memory as a block; what it is to write, and where, counts where it writes."""
    wires = cell["connections"]
    if int(cell["parameters"]["WR_PORTS"], 2) != 1:
        raise CheckFailed(f"memory {name}: has not one write port")
    enable, gets = wires["WR_EN"], {port: wires[port] for port in (*_READ_INPUTS, *_WRITE_INPUTS)}
    data = _operator(parts, "$and", {"A": wires["WR_DATA"], "B": enable}, len(enable))
    writes = _operator(parts, "$reduce_or", {"A": enable}, 1)
    address = wires["WR_ADDR"]
    mask = {"A": address, "B": writes * len(address)}
    gets |= {"WR_DATA": data, "WR_ADDR": _operator(parts, "$and", mask, len(address))}
    return Block(_kind(cell), gets, {"RD_DATA": wires["RD_DATA"]})


def _operator(parts: Cut, kind: str, inputs: dict[str, list[Bit]], width: int) -> list[Bit]:
    """The result of an operator that is added to the module."""
    result = parts.new_bits(width)
    parameters: dict[str, int] = {"Y_WIDTH": width}
    for port, bits in inputs.items():
        parameters |= {f"{port}_WIDTH": len(bits), f"{port}_SIGNED": 0}
    directions = {**dict.fromkeys(inputs, "input"), "Y": "output"}
    parts.logic[f"$added${len(parts.logic)}"] = {
        "type": kind,
        "parameters": {key: f"{value:032b}" for key, value in parameters.items()},
        "attributes": {},
        "port_directions": directions,
        "connections": {**inputs, "Y": result},
    }
    return result


def _check_clock(parts: Cut, name: str, cell: Mapping[str, Any]) -> None:
    rising = int(cell["parameters"]["CLK_POLARITY"], 2) == 1
    if not rising or cell["connections"]["CLK"] != parts.inputs.get("clk"):
        raise CheckFailed(f"register {name}: does not change at the rising edge of clk")


def _kind(cell: Mapping[str, Any]) -> str:
    known = {key: value for key, value in cell["parameters"].items() if key not in _NAMES}
    return f"{cell['type']} {sorted(known.items())}"
