"""Two texts of a module side by side: one module of Yosys' JSON for each, with equal ports.

What Yosys proves of a pair: for all inputs, all that registers hold and all that memories and cells
give, the outputs, what registers take and what memories and cells are given are equal. Registers
start equal, which is compared here. By induction over clock edges, and over the hierarchy, both
texts of the whole design do the same for ever.

The rewritten text may lack what no output of the whole design depends on: ports, registers, cells.
What the plain text has besides is then an input that may have any value, so a proof shows, too,
that nothing that is left depends on it. Undefined bits are such inputs as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from proofs.cut import Bit, Block, Cut
from pulsarray.errors import CheckFailed
from pulsarray.hw.verilog.netlist import Netlist

__all__ = ["Pair", "pair"]

_HELD = ".held"


@dataclass
class Pair:
    """Ports of both sides by name: bits of the plain text and of the rewritten one."""

    inputs: dict[str, tuple[list[Bit], list[Bit]]] = field(default_factory=dict)
    outputs: dict[str, tuple[list[Bit], list[Bit]]] = field(default_factory=dict)

    @property
    def bits_held(self) -> int:
        """Bits of registers."""
        return sum(len(bits) for name, (bits, _) in self.inputs.items() if name.endswith(_HELD))

    @property
    def bits_compared(self) -> int:
        """Bits that are to be equal."""
        return sum(len(bits) for bits, _ in self.outputs.values())

    def modules(self, plain: Cut, rewritten: Cut) -> tuple[dict[str, Any], dict[str, Any]]:
        """Both as modules of Yosys' JSON."""
        return self._module(plain, 0), self._module(rewritten, 1)

    def _module(self, parts: Cut, side: int) -> dict[str, Any]:
        ports = {
            name: {"direction": direction, "bits": bits[side]}
            for direction, group in (("input", self.inputs), ("output", self.outputs))
            for name, bits in group.items()
        }
        return {"attributes": {}, "ports": ports, "cells": parts.logic, "netnames": {}}


def pair(plain: Cut, rewritten: Cut, names: Netlist) -> Pair:
    """Match ports, registers, memories and cells of two texts of a module.

    Parameters
    ----------
    names
        Says what things are called in the plain text. It need not be trusted: with wrong names the
        proof fails.

    Raises
    ------
    CheckFailed
        If the rewritten text has something that the plain one has not, or it starts otherwise.
    """
    return _Matching(plain, rewritten, names).pair()


class _Matching:
    """What of one text is what of the other."""

    def __init__(self, plain: Cut, rewritten: Cut, names: Netlist) -> None:
        self._plain, self._rewritten = plain, rewritten
        self._origins = {_bare(name): _bare(origin) for name, origin in names.origins.items()}
        self._cells = {_bare(cell.name): _bare(cell.origin) for cell in names.cells}
        self._result = Pair()

    def pair(self) -> Pair:
        """The ports of both."""
        self._match_ports()
        self._match_registers()
        self._match_blocks()
        self._open_undefined(self._plain, 0)
        self._open_undefined(self._rewritten, 1)
        return self._result

    def _origin(self, name: str) -> str:
        return self._origins.get(name, name)

    def _open(self, name: str, bits: list[Bit], side: int = 0) -> None:
        """An input of one side alone."""
        others = (self._rewritten, self._plain)[side].new_bits(len(bits))
        self._result.inputs[name] = (others, bits) if side else (bits, others)

    def _match_ports(self) -> None:
        plain, rewritten, result = self._plain, self._rewritten, self._result
        for name, bits in rewritten.outputs.items():
            result.outputs[name] = _counterpart(plain.outputs, name, bits), bits
        for name, bits in rewritten.inputs.items():
            result.inputs[name] = _counterpart(plain.inputs, name, bits), bits
        for name in plain.inputs.keys() - rewritten.inputs.keys():
            self._open(name, plain.inputs[name])

    def _match_registers(self) -> None:
        """Bit by bit, as not all bits of a register need be left."""
        plain, rewritten, result = self._plain, self._rewritten, self._result
        matched: dict[Bit, Bit] = {}
        for name, bits in rewritten.signals.items():
            others = plain.signals.get(self._origin(name), [])
            new = [
                (other, bit)
                for other, bit in zip(others, bits, strict=False)
                if other in plain.taken and bit in rewritten.taken and bit not in matched.values()
            ]
            if not new:
                continue
            _check_registers(name, new, matched, plain, rewritten)
            matched |= new
            held, bits = [other for other, _ in new], [bit for _, bit in new]
            result.inputs[f"{name}{_HELD}"] = held, bits
            result.outputs[f"{name}.taken"] = (
                [plain.taken[bit] for bit in held],
                [rewritten.taken[bit] for bit in bits],
            )
        if lost := rewritten.taken.keys() - set(matched.values()):
            names = {name for name, bits in rewritten.signals.items() if lost & set(bits)}
            raise CheckFailed(f"registers that the plain text has not: {', '.join(sorted(names))}")
        self._open("registers", list(plain.taken.keys() - matched.keys()))

    def _match_blocks(self) -> None:
        left = dict(self._plain.blocks)
        for name, block in self._rewritten.blocks.items():
            other = left.pop(self._cells.get(name) or self._origin(name), None)
            if other is None or other.kind != block.kind:
                raise CheckFailed(f"cell {name}: the plain text has not the same")
            self._match_block(name, other, block)
        for name, block in left.items():
            for port, bits in block.gives.items():
                self._open(f"{name}.{port}", bits)

    def _match_block(self, name: str, plain: Block, rewritten: Block) -> None:
        result = self._result
        for port, bits in rewritten.given.items():
            result.outputs[f"{name}.{port}"] = _counterpart(plain.given, port, bits), bits
        for port, bits in plain.gives.items():
            if port in rewritten.gives:
                others = rewritten.gives[port]
                result.inputs[f"{name}.{port}"] = _counterpart(plain.gives, port, others), others
            else:
                self._open(f"{name}.{port}", bits)

    def _open_undefined(self, parts: Cut, side: int) -> None:
        """Bits that are undefined may be anything, each by itself."""
        undefined: list[Bit] = []
        for cell in parts.logic.values():
            for port, bits in cell["connections"].items():
                new = [parts.new_bits(1)[0] if bit in ("x", "z") else bit for bit in bits]
                undefined += [bit for bit, old in zip(new, bits, strict=True) if bit != old]
                cell["connections"][port] = new
        self._open(f"undefined.{side}", undefined, side)


def _bare(name: str) -> str:
    return name.strip("\\ ")


def _counterpart(ports: Mapping[str, list[Bit]], name: str, bits: list[Bit]) -> list[Bit]:
    other = ports.get(name)
    if other is None or len(other) != len(bits):
        raise CheckFailed(f"port {name}: the plain text has none of {len(bits)} bits")
    return other


def _check_registers(
    name: str, new: list[tuple[Bit, Bit]], matched: Mapping[Bit, Bit], plain: Cut, rewritten: Cut
) -> None:
    if any(other in matched for other, _ in new):
        raise CheckFailed(f"register {name}: is one with another in the plain text")
    if any(plain.starts.get(other) != rewritten.starts.get(bit) for other, bit in new):
        raise CheckFailed(f"register {name}: starts otherwise than in the plain text")
