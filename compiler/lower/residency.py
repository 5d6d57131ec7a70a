"""What is computed in which order, and where every feature map lies: memory, or a bank."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import accumulate

from pulsarray.compiler.ir.graph import Graph, Node
from pulsarray.compiler.ir.value import Role, Value
from pulsarray.compiler.lower.aliases import Alias, seen_as
from pulsarray.compiler.lower.chip import BankShares
from pulsarray.compiler.lower.traits import traits_of
from pulsarray.compiler.machine.banks import Space
from pulsarray.compiler.ops.integer.elementwise import Copy
from pulsarray.config import Config

__all__ = [
    "Network",
    "Work",
    "network_of",
    "resident_units",
    "root_of",
    "shares_of",
    "units_of",
    "works_of",
]


@dataclass(frozen=True, eq=False)
class Work:
    """One operator to lower, with an addition that follows it in the vector unit.

    Parameters
    ----------
    node
        The operator.
    maps
        Names of the maps that it reads, without constants.
    after
        The addition; None without.
    second_first
        Whether the addition's other operand is its first input.
    """

    node: Node
    maps: tuple[str, ...]
    after: Node | None = None
    second_first: bool = False

    @property
    def output(self) -> str:
        """Name of the map that it makes."""
        return self.after.output if self.after else self.node.output

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the maps that it reads, with the addition's."""
        return self.maps + ((self.second,) if self.after else ())

    @property
    def second(self) -> str:
        """Name of the second operand of the vector unit, or empty."""
        if self.after:
            return self.after.inputs[0 if self.second_first else 1]
        place = traits_of(self.node.op).second
        return "" if place is None else self.node.inputs[place]


@dataclass(frozen=True, eq=False)
class Network:
    """What is lowered: a network without the concatenations that cost nothing.

    Parameters
    ----------
    graph
        The network as it was.
    nodes
        The operators, with copies where concatenations need them.
    values
        All values by name, copies included.
    aliases
        Maps that lie inside others.
    readers
        How often each map is read in the network as it was.
    kept
        By name of a map the state in whose memory it lies.
    """

    graph: Graph
    nodes: Sequence[Node]
    values: Mapping[str, Value]
    aliases: Mapping[str, Alias]
    readers: Counter[str]
    kept: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def inputs(self) -> Collection[str]:
        """Names of the network's inputs."""
        return {value.name for value in self.graph.inputs}

    @cached_property
    def entries(self) -> Collection[str]:
        """Names of the network's inputs and state."""
        return {value.name for value in self.graph.entries}

    @property
    def outputs(self) -> Collection[str]:
        """Names of its results."""
        return self.graph.outputs

    def is_final(self, name: str) -> bool:
        """Whether a map is a result that no operator reads, which is only ever written."""
        return name in self.outputs and not self.readers[name]

    def maps_of(self, node: Node) -> tuple[str, ...]:
        """Names of what an operator reads, without constants."""
        return tuple(name for name in node.inputs if not self.values[name].role.is_constant)

    def macs_of(self, node: Node) -> int:
        """Multiply-accumulates of one operator for one sample."""
        return node.op.macs(*(self.values[name].shape for name in node.inputs))


def network_of(graph: Graph, dim: int) -> Network:
    """A network with maps side by side where they need no copy, and copies where they do.

    An input of a concatenation lies where the result needs it if its channels begin with a block
    and it is part of no other one. All others are copied: block by block, or, where lanes move,
    through the array.
    """
    aliases: dict[str, Alias] = {}
    nodes: list[Node] = []
    values, readers = dict(graph.values), graph.readers
    declared = (value.name for value in graph.declared if value.role is not Role.ACTIVATION)
    ends = {*graph.outputs, *declared}
    network = Network(graph, (), values, aliases, readers)
    for node in reversed(graph.nodes):
        if (seen := seen_as(graph, node, dim)) and seen[0] not in aliases:
            aliases[seen[0]] = seen[1]
            continue
        offsets = _offsets(node, values)
        if offsets is None or any(offset % dim for offset in offsets):
            nodes.append(node)
            continue
        # What only the host reads is written only.
        final = network.is_final(root_of(node.output, aliases))
        for number, (name, offset) in enumerate(zip(node.inputs, offsets, strict=True)):
            taken = name in aliases or name in ends
            taken = taken or (final and readers[name] > 1)
            if taken or node.inputs.count(name) > 1:
                copy = _free(f"{node.name}.{number}", values)
                values[copy] = replace(values[name], name=copy)
                nodes.append(Node(copy, Copy(), (name,), copy, "copy"))
                name = copy
            aliases[name] = Alias(node.output, offset // dim)
    return _with_state(replace(network, nodes=tuple(reversed(nodes))), values)


def _with_state(network: Network, values: dict[str, Value]) -> Network:
    """The network with what is kept where state lies: copied at the end if that is read till then.

    ``values`` are the network's, to which copies are added.
    """
    works, kept, copies = works_of(network), {}, []
    for state, name in network.graph.states.items():
        reads = [number for number, work in enumerate(works) if state in work.inputs]
        roots = (root_of(work.output, network.aliases) for work in works)
        if list(roots).index(name) <= max(reads, default=-1):
            copy = _free(f"{name} kept", values)
            values[copy] = replace(values[name], name=copy)
            copies.append(Node(copy, Copy(), (name,), copy, "copy"))
            name = copy
        kept[name] = state
    readers = network.readers + Counter(name for node in copies for name in node.inputs)
    return replace(network, nodes=(*network.nodes, *copies), kept=kept, readers=readers)


def _offsets(node: Node, values: Mapping[str, Value]) -> list[int] | None:
    """First channel of each input of a concatenation or reshaping; None of other operators."""
    if not traits_of(node.op).beside:
        return None
    channels = [values[name].shape[2] for name in node.inputs[:-1]]
    return list(accumulate(channels, initial=0))


def root_of(name: str, aliases: Mapping[str, Alias]) -> str:
    """The map that a map lies in, which lies in no other one."""
    while name in aliases:
        name = aliases[name].parent
    return name


def _free(name: str, values: Mapping[str, Value]) -> str:
    """A name that no value has."""
    while name in values:
        name += "#"
    return name


def works_of(network: Network) -> list[Work]:
    """The operators in order; an addition joins the convolution that makes its later operand."""
    made = dict.fromkeys(network.entries, -1)
    for number, node in enumerate(network.nodes):
        made[node.output] = number
    joined: dict[int, Work] = {}
    gone = set()
    for number, node in enumerate(network.nodes):
        if not traits_of(node.op).joins:
            continue
        places = [made.get(name, -1) for name in node.inputs]
        last = max(range(2), key=lambda k: places[k])
        place, name = places[last], node.inputs[last]
        alone = network.readers.get(name) == 1 and name not in network.outputs
        free = place >= 0 and place not in joined and places[0] != places[1]
        if alone and free and traits_of(network.nodes[place].op).takes:
            first = network.nodes[place]
            joined[place] = Work(first, network.maps_of(first), node, second_first=last == 1)
            gone.add(number)
    return [
        joined.get(number, Work(node, network.maps_of(node)))
        for number, node in enumerate(network.nodes)
        if number not in gone
    ]


def units_of(network: Network, works: Sequence[Work]) -> dict[str, tuple[int, int]]:
    """Maps that lie in no other one, with the first work that writes and the last that uses each.

    The network's inputs, state and constants are not among them.
    """
    lives: dict[str, tuple[int, int]] = {}
    for number, work in enumerate(works):
        for name in (work.output, *work.inputs):
            root = root_of(name, network.aliases)
            if root in network.entries or network.values[root].role.is_constant:
                continue
            first, _ = lives.get(root, (number, number))
            lives[root] = (first, number)
    return lives


def resident_units(
    network: Network, works: Sequence[Work], batch: int, banks: Sequence[int], config: Config
) -> dict[str, tuple[int, int]]:
    """Bank and first word of the maps that stay on chip.

    A map keeps its words until the last operator that reads it. It avoids the banks of the maps
    that its own operator reads, where that is possible; a maximum must, for it reads its result.
    """
    lives = units_of(network, works)
    apart = _apart(works, network.aliases)
    stored = {*network.outputs, *network.kept}
    placed: dict[str, tuple[int, int]] = {}
    space = Space(banks, config.scratchpad_depth)
    for name, life in sorted(lives.items(), key=lambda item: item[1]):
        height, width, channels = network.values[name].shape
        size = batch * height * width * -(-channels // config.dim)
        if name in stored or size > config.scratchpad_depth or name in apart.get(name, ()):
            continue
        roots = [root_of(name, network.aliases) for name in works[life[0]].inputs]
        avoid = [placed[root][0] for root in roots if root in placed]
        barred = {placed[other][0] for other in apart.get(name, ()) if other in placed}
        order = sorted(set(banks) - barred, key=lambda bank: (bank in avoid, bank))
        if (place := space.hold(size, order, life)) is not None:
            placed[name] = place
    return placed


def _apart(works: Sequence[Work], aliases: Mapping[str, Alias]) -> dict[str, set[str]]:
    """Maps that must not share a bank: one is a maximum over the other, or weights for it."""
    apart: dict[str, set[str]] = {}
    for work in works:
        traits, pairs = traits_of(work.node.op), list[tuple[str, str]]()
        if traits.rereads:
            pairs.append((work.maps[0], work.output))
        if traits.weights is not None:
            pairs.append((work.node.inputs[0], work.node.inputs[traits.weights]))
        for pair in pairs:
            one, other = (root_of(name, aliases) for name in pair)
            apart.setdefault(one, set()).add(other)
            apart.setdefault(other, set()).add(one)
    return apart


def shares_of(config: Config, resident: int, *, second: bool) -> BankShares:
    """Scratchpad banks for each use; ``second`` operands from memory need one."""
    banks = list(range(config.scratchpad_banks))
    held = tuple(banks[len(banks) - resident :])
    banks = banks[: len(banks) - resident]
    results = (banks.pop(),)
    seconds = (banks.pop(),) if second else ()
    middle = max(1, len(banks) // 2)
    return BankShares(tuple(banks[:middle]), tuple(banks[middle:]), seconds, results, held)
