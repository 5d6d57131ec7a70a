"""What is computed in which order, and where every feature map lies: memory, or a bank."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pulsarray.compiler.maps import integer
from pulsarray.compiler.maps.chip import BankShares
from pulsarray.compiler.maps.integer import FeatureMap, IntegerGraph
from pulsarray.config import Config

__all__ = [
    "Alias",
    "Work",
    "aliases_of",
    "resident_units",
    "root_of",
    "shares_of",
    "units_of",
    "works_of",
]

Addition = integer.Add | integer.TfliteAdd


@dataclass(frozen=True, eq=False)
class Work:
    """One operator to lower, with an addition that follows it in the vector unit.

    Parameters
    ----------
    node
        The operator.
    after
        The addition; None without.
    second_first
        Whether the addition's other operand is its first input.
    """

    node: integer.Node
    after: Addition | None = None
    second_first: bool = False

    @property
    def output(self) -> str:
        """Name of the map that it makes."""
        return self.after.output if self.after else self.node.output

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the maps that it reads."""
        return self.node.inputs + ((self.second,) if self.after else ())

    @property
    def second(self) -> str:
        """Name of the second operand of the vector unit, or empty."""
        if self.after:
            return self.after.inputs[0 if self.second_first else 1]
        if isinstance(self.node, integer.Convolution) and self.node.residual:
            return self.node.residual.input
        two = integer.Add | integer.TfliteAdd | integer.Multiply
        return self.node.inputs[1] if isinstance(self.node, two) else ""


@dataclass(frozen=True)
class Alias:
    """A map that lies inside another one, from one of its channel blocks on."""

    parent: str
    block: int


def aliases_of(graph: IntegerGraph, dim: int) -> tuple[dict[str, Alias], IntegerGraph]:
    """Maps side by side that need no copy, and the graph with copies where they do.

    An input of a concatenation lies where the result needs it if its channels begin with a block
    and it is part of no other one. All others are copied: block by block, or, where lanes move,
    through the array.
    """
    found: dict[str, Alias] = {}
    nodes: list[integer.Node] = []
    maps = dict(graph.maps)
    for node in reversed(graph.nodes):
        if not isinstance(node, integer.Concat):
            nodes.append(node)
            continue
        offsets = np.cumsum([0, *(maps[name].channels for name in node.inputs[:-1])])
        if any(offset % dim for offset in offsets) or _inside(node.output, graph):
            nodes.append(node)
            continue
        # What the network gives is written only.
        final = root_of(node.output, found) == graph.output
        for number, (name, offset) in enumerate(zip(node.inputs, offsets, strict=True)):
            taken = name in found or name in (graph.input.name, graph.output)
            taken = taken or (final and graph.uses[name] > 1)
            if taken or node.inputs.count(name) > 1:
                copy = f"{node.name}.{number}"
                maps[copy] = replace(maps[name], name=copy)
                nodes.append(_copy(copy, name))
                name = copy
            found[name] = Alias(node.output, int(offset) // dim)
    order = tuple(reversed(nodes))
    return found, _Copied(graph, order, maps)


def root_of(name: str, aliases: Mapping[str, Alias]) -> str:
    """The map that a map lies in, which lies in no other one."""
    while name in aliases:
        name = aliases[name].parent
    return name


def _inside(output: str, graph: IntegerGraph) -> bool:
    """Whether the result of the network is read again, so that it must be a copy."""
    return output == graph.output and graph.uses[output] > 0


def _copy(name: str, source: str) -> integer.Elementwise:
    one, zero = np.ones(1, np.int64), np.zeros(1, np.int64)
    return integer.Elementwise(
        name=name,
        kind="copy",
        input=source,
        output=name,
        zero_in=0,
        scale=integer.Scale(one, zero),
    )


class _Copied(IntegerGraph):
    """A graph without the concatenations that cost nothing; shapes were checked before."""

    def __init__(
        self,
        graph: IntegerGraph,
        nodes: Sequence[integer.Node],
        maps: Mapping[str, FeatureMap],
    ) -> None:
        fields = {
            "name": graph.name,
            "input": graph.input,
            "nodes": nodes,
            "maps": maps,
            "output": graph.output,
            "after": graph.after,
            "input_view": graph.input_view,
            "output_view": graph.output_view,
            "answer_scale": graph.answer_scale,
            "answer_zero": graph.answer_zero,
            "samples": graph.samples,
            "uses": graph.uses,
        }
        for name, value in fields.items():
            object.__setattr__(self, name, value)


def works_of(graph: IntegerGraph) -> list[Work]:
    """The operators in order; an addition joins the convolution that makes its later operand."""
    made = {graph.input.name: -1}
    for number, node in enumerate(graph.nodes):
        made[node.output] = number
    joined: dict[int, Work] = {}
    gone = set()
    for number, node in enumerate(graph.nodes):
        if not isinstance(node, Addition):
            continue
        places = [made.get(name, -1) for name in node.inputs]
        last = max(range(2), key=lambda k: places[k])
        producer = graph.nodes[places[last]] if places[last] >= 0 else None
        name = node.inputs[last]
        single = graph.uses.get(name) == 1 and name != graph.output
        if (
            isinstance(producer, integer.Convolution)
            and producer.residual is None
            and single
            and places[last] not in joined
            and places[0] != places[1]
        ):
            joined[places[last]] = Work(producer, node, second_first=last == 1)
            gone.add(number)
    return [
        joined.get(number, Work(node))
        for number, node in enumerate(graph.nodes)
        if number not in gone
    ]


def units_of(
    graph: IntegerGraph, works: Sequence[Work], aliases: Mapping[str, Alias]
) -> dict[str, tuple[int, int]]:
    """Maps that lie in no other one, with the first work that writes and the last that uses each.

    The network's input is not among them.
    """
    lives: dict[str, tuple[int, int]] = {}
    for number, work in enumerate(works):
        for name in (work.output, *work.inputs):
            root = root_of(name, aliases)
            if root == graph.input.name:
                continue
            first, _ = lives.get(root, (number, number))
            lives[root] = (first, number)
    return lives


def resident_units(
    graph: IntegerGraph,
    works: Sequence[Work],
    aliases: Mapping[str, Alias],
    batch: int,
    banks: Sequence[int],
    config: Config,
) -> dict[str, tuple[int, int]]:
    """Bank and first word of the maps that stay on chip.

    A map keeps its words until the last operator that reads it. It avoids the banks of the maps
    that its own operator reads, where that is possible; a maximum must, for it reads its result.
    """
    lives = units_of(graph, works, aliases)
    apart = _apart(works, aliases)
    placed: dict[str, tuple[int, int]] = {}
    taken: list[tuple[int, int, int, int]] = []
    for name, (first, last) in sorted(lives.items(), key=lambda item: item[1]):
        unit = graph.maps[name]
        size = batch * unit.pixels * -(-unit.channels // config.dim)
        if name == graph.output or size > config.scratchpad_depth or name in apart.get(name, ()):
            continue
        taken = [words for words in taken if words[3] >= first]
        roots = [root_of(name, aliases) for name in works[first].inputs]
        avoid = [placed[root][0] for root in roots if root in placed]
        barred = {placed[other][0] for other in apart.get(name, ()) if other in placed}
        for bank in sorted(set(banks) - barred, key=lambda bank: (bank in avoid, bank)):
            base = _hole(sorted(t[1:3] for t in taken if t[0] == bank), size)
            if base + size <= config.scratchpad_depth:
                placed[name] = (bank, base)
                taken.append((bank, base, base + size, last))
                break
    return placed


def _apart(works: Sequence[Work], aliases: Mapping[str, Alias]) -> dict[str, set[str]]:
    """Maps that must not share a bank: one of them is a maximum over the other."""
    apart: dict[str, set[str]] = {}
    for work in works:
        if isinstance(work.node, integer.MaxPool):
            source, result = (root_of(name, aliases) for name in (work.node.input, work.output))
            apart.setdefault(source, set()).add(result)
            apart.setdefault(result, set()).add(source)
    return apart


def _hole(taken: Sequence[tuple[int, ...]], size: int) -> int:
    """First word of the first gap that is large enough."""
    base = 0
    for low, high in taken:
        if low - base >= size:
            break
        base = max(base, high)
    return base


def shares_of(config: Config, resident: int, *, second: bool) -> BankShares:
    """Scratchpad banks for each use; ``second`` operands from memory need one."""
    banks = list(range(config.scratchpad_banks))
    held = tuple(banks[len(banks) - resident :])
    banks = banks[: len(banks) - resident]
    results = (banks.pop(),)
    seconds = (banks.pop(),) if second else ()
    middle = max(1, len(banks) // 2)
    return BankShares(tuple(banks[:middle]), tuple(banks[middle:]), seconds, results, held)
