"""Names the bits of a module that are driven and that nothing reads, as linters ask for it."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator

from pulsarray.hw.verilog.expression import Expression, constant, part_of
from pulsarray.hw.verilog.inline import whole
from pulsarray.hw.verilog.liveness import Inputs
from pulsarray.hw.verilog.netlist import Netlist

__all__ = ["name_unused"]


def name_unused(module: Netlist, inputs: Inputs) -> None:
    """Read every bit that is not needed in a wire ``unused``; drop upper bits without a driver.

    Linters know such a wire by its name. It says which fields of a word a unit does not look at,
    and which carries of a sum.
    """
    read, driven = _masks(module, inputs)
    parts: list[Expression] = []
    for name, net in module.nets.items():
        if net.direction != "output":
            _cut(module, name, (read[name] | driven[name]).bit_length())
            bits = Expression("name", width=net.width, text=name, base=name)
            parts += [part_of(bits, low, width) for low, width in _runs(driven[name] & ~read[name])]
    if parts:
        bits = Expression("cat", (constant("1'h0"), *parts), 1 + sum(p.width for p in parts))
        module.assigns.append((module.new_wire("unused", 1), Expression("reduce&", (bits,))))


def _cut(module: Netlist, name: str, width: int) -> None:
    """Declare a net without the upper bits that nothing drives or reads."""
    net = module.nets[name]
    if width == 1 < net.width:
        module.rewrite(lambda value, _: whole(value, {name}))
        module.assigns = [(whole(target, {name}), value) for target, value in module.assigns]
    net.width = max(1, min(net.width, width))


def _masks(module: Netlist, inputs: Inputs) -> tuple[dict[str, int], dict[str, int]]:
    """Bits of every net that something reads, and that something drives."""
    read: dict[str, int] = defaultdict(int)
    driven: dict[str, int] = defaultdict(int)
    outputs = [
        value
        for cell in module.cells
        for port, value in cell.ports
        if port not in inputs[cell.module]
    ]
    for value in module.uses():
        if not any(value is output for output in outputs):
            _mark(module, value, read)
    for target in [*outputs, *(target for target, _ in module.assigns)]:
        _mark(module, target, driven)
    read["clk"] |= bool(module.registers)
    for name, net in module.nets.items():
        if net.direction == "input" or net.variable:
            driven[name] = (1 << net.width) - 1
    return read, driven


def _mark(module: Netlist, value: Expression, masks: dict[str, int]) -> None:
    for leaf in value.leaves():
        if leaf.base in module.nets:
            bits = re.search(r"\[(\d+)(?::(\d+))?\]$", leaf.text) if leaf.kind == "part" else None
            low, width = (int(bits[2] or bits[1]), leaf.width) if bits else (0, 0)
            width = width or module.nets[leaf.base].width
            masks[leaf.base] |= ((1 << width) - 1) << low


def _runs(mask: int) -> Iterator[tuple[int, int]]:
    """Lowest bit and number of the ones of every run of them, the highest run first."""
    text = f"{mask:b}"
    for ones in re.finditer("1+", text):
        yield len(text) - ones.end(), ones.end() - ones.start()
