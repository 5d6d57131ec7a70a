"""Takes wires apart whose parts depend on each other: simulators would see a loop in them."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import replace
from itertools import pairwise

from pulsarray.hw.verilog.expression import Expression
from pulsarray.hw.verilog.netlist import Net, Netlist

__all__ = ["split_loops"]

_PART = re.compile(r"\[(\d+)(?::(\d+))?\]$")


def split_loops(module: Netlist) -> None:
    """Give every part of a wire in a loop of assignments a wire of its own, if parts are all.

    What is assigned to such a part and read nowhere is dropped.
    """
    looped = _looped(module)
    pieces = {name: _pieces(module, name) for name in module.nets if name in looped}
    pieces = {name: limits for name, limits in pieces.items() if limits}
    if not pieces:
        return
    for name, limits in pieces.items():
        module.nets |= {_name(name, *piece): Net(piece[1] - piece[0]) for piece in limits}

    def split(node: Expression, _: int = 0) -> Expression:
        if node.base in pieces:
            low, high = _range(node)
            parts = tuple(
                _wire(node.base, *piece)
                for piece in reversed(pieces[node.base])
                if low <= piece[0] and piece[1] <= high
            )
            return parts[0] if len(parts) == 1 else Expression("cat", parts, node.width)
        inner = tuple(map(split, node.parts))
        if node.kind == "cat":
            inner = tuple(
                p for part in inner for p in (part.parts if part.kind == "cat" else (part,))
            )
        return replace(node, parts=inner)

    module.rewrite(split)
    module.assigns = [(split(target), value) for target, value in module.assigns]
    _drop_unread(module, {_name(name, *piece) for name in pieces for piece in pieces[name]})
    module.nets = {name: net for name, net in module.nets.items() if name not in pieces}


def _looped(module: Netlist) -> set[str]:
    """Wires that an assignment makes depend on themselves, directly or through others."""
    sources: dict[str, set[str]] = defaultdict(set)
    for target, value in module.assigns:
        read = {leaf.base for leaf in value.leaves() if leaf.base in module.nets}
        for leaf in target.leaves():
            sources[leaf.base] |= read
    return {name for name in module.nets if name in _reached(name, sources)}


def _reached(name: str, sources: dict[str, set[str]]) -> set[str]:
    reached: set[str] = set()
    waiting = set(sources.get(name, ()))
    while waiting:
        place = waiting.pop()
        reached.add(place)
        waiting |= sources.get(place, set()) - reached
    return reached


def _pieces(module: Netlist, name: str) -> list[tuple[int, int]]:
    """Lowest bit and end of the pieces that a wire falls into; none if it is used as a whole."""
    net = module.nets[name]
    values = [*module.uses(), *(target for target, _ in module.assigns)]
    leaves = [leaf for value in values for leaf in value.leaves() if leaf.base == name]
    if net.direction or net.variable or any(leaf.kind != "part" for leaf in leaves):
        return []
    ranges = [_range(leaf) for leaf in leaves]
    limits = sorted({limit for ends in ranges for limit in ends})
    return [
        piece
        for piece in pairwise(limits)
        if any(low <= piece[0] and piece[1] <= high for low, high in ranges)
    ]


def _range(part: Expression) -> tuple[int, int]:
    bits = _PART.search(part.text)
    assert bits is not None
    return int(bits[2] or bits[1]), int(bits[1]) + 1


def _name(name: str, low: int, end: int) -> str:
    return f"{name}_{end - 1}" + (f"_{low}" if end - low > 1 else "")


def _wire(name: str, low: int, end: int) -> Expression:
    text = _name(name, low, end)
    return Expression("name", width=end - low, text=text, base=text)


def _drop_unread(module: Netlist, names: set[str]) -> None:
    """Without assignments to these wires alone, where nothing reads any of them."""
    read = {leaf.base for value in module.uses() for leaf in value.leaves()}
    dead = names - read
    module.assigns = [
        (target, value)
        for target, value in module.assigns
        if not {leaf.base for leaf in target.leaves()} <= dead
    ]
    written = {leaf.base for target, _ in module.assigns for leaf in target.leaves()}
    for name in dead - written:
        del module.nets[name]
