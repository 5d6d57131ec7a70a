"""From a network in integers to a program."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pulsarray.compiler.arguments import instance, integer
from pulsarray.compiler.ir.formats import Affine8
from pulsarray.compiler.ir.graph import Graph, Node, needed
from pulsarray.compiler.ir.host import HostOutput, split_host
from pulsarray.compiler.ir.value import Value
from pulsarray.compiler.lower import families as families
from pulsarray.compiler.lower.checks import require_machine
from pulsarray.compiler.lower.fuse import with_tables
from pulsarray.compiler.lower.lowering import Lowering
from pulsarray.compiler.lower.products.search import EFFORT, Search
from pulsarray.compiler.lower.products.tile import Cut
from pulsarray.compiler.lower.repeats import with_repeats
from pulsarray.compiler.lower.residency import (
    Network,
    network_of,
    resident_units,
    root_of,
    shares_of,
    units_of,
    works_of,
)
from pulsarray.compiler.machine.assemble import Assembly, assemble
from pulsarray.compiler.machine.check import check
from pulsarray.compiler.machine.layout import Layout
from pulsarray.compiler.machine.programs import Part, programs_of
from pulsarray.config import Config
from pulsarray.program import Program

__all__ = ["compile_layers", "program_of", "require_room"]

_FEW_OPERATORS = 8
"""Networks so small that keeping some of their maps on chip is tried too: it costs little time.

With 0, 120 random networks take 7.0 % more cycles on the corpus' machine `odd`."""


@dataclass(frozen=True, eq=False)
class _Candidate:
    """A whole network lowered in one way, and the search for how to cut its products."""

    lowering: Lowering
    search: Search


def program_of(
    graph: Graph,
    config: Config,
    *,
    batch: int = 1,
    name: str = "",
    effort: int = EFFORT,
) -> Program:
    """Compile a network in integers; parameters are those of :func:`pulsarray.compiler.compile`.

    Raises
    ------
    InputError
        If something does not fit; the text names the place, the rule and the value.
    """
    graph, outputs = _checked(graph, config)
    graph = with_repeats(with_tables(graph, config), config.dim)
    batch, effort = integer(batch, "batch", least=1), integer(effort, "effort")
    best, assembly = _best(_candidates(graph, outputs, config, batch), effort)
    lowering = best.lowering
    part = Part(assembly, lowering.layers, name or graph.name, batch, _notes(graph, lowering))
    (program,) = programs_of([part], lowering.layout, lowering.tensors)
    check(program)
    timing = assembly.timing
    program.timings[timing.memory_latency, timing.memory_interval] = timing
    return program


def compile_layers(graph: Graph, config: Config, *, batch: int = 1) -> list[Program]:
    """Compile a network in integers as one program a layer, all in one memory image.

    Run one after the other on one memory they do what `program_of`'s program does: to
    look at a network layer by layer.

    Raises
    ------
    InputError
        As `program_of`.
    """
    batch = integer(batch, "batch", least=1)
    lowering = _in_memory(graph, config, batch)
    search, notes = _search(lowering), _notes(lowering.network.graph, lowering)
    operations = lowering.parts(search.cuts(search.chosen))
    parts = [
        Part(assemble(some, config), [layer], graph.name, batch, notes)
        for some, layer in zip(operations, lowering.layers, strict=True)
    ]
    return programs_of(parts, lowering.layout, lowering.tensors)


def require_room(graph: Graph, config: Config) -> None:
    """Refuse a network in integers that a machine has no room for, before anything is emitted.

    Raises
    ------
    InputError
        As `program_of`.
    """
    _in_memory(graph, config, 1)


def _in_memory(graph: Graph, config: Config, batch: int) -> Lowering:
    """A network with all of its maps in memory."""
    graph, outputs = _checked(graph, config)
    network = network_of(graph, config.dim)
    works, layout = works_of(network), _layout(network, outputs, config)
    shares = shares_of(config, 0, second=any(work.second for work in works))
    return Lowering(network, outputs, works, {}, shares, config, batch, layout)


def _checked(graph: Graph, config: Config) -> tuple[Graph, Sequence[HostOutput]]:
    """What the machine computes of a network, and what a host makes of it."""
    instance(graph, Graph, "graph")
    instance(config, Config, "config")
    graph, outputs = split_host(graph)
    require_machine(graph, config)
    return graph.rebuilt(needed(graph.nodes, graph.outputs)), outputs


def _candidates(
    graph: Graph, outputs: Sequence[HostOutput], config: Config, batch: int
) -> list[_Candidate]:
    """The network with all maps in memory; and, where they fit, with maps that stay on chip.

    Larger networks keep all of their maps on chip, or none.
    """
    network = network_of(graph, config.dim)
    works = works_of(network)
    units = units_of(network, works)
    candidates = []
    most = config.scratchpad_banks - 3
    for count in (0, *range(most, 0, -1)):
        banks = shares_of(config, count, second=False).resident
        resident = resident_units(network, works, batch, banks, config)
        whole = len(units) - len(graph.outputs) <= len(resident) or len(works) <= _FEW_OPERATORS
        if count and not (resident and whole):
            continue
        layout = _layout(network, outputs, config)
        seconds = any(
            work.second and root_of(work.second, network.aliases) not in resident for work in works
        )
        if config.scratchpad_banks - count < 3 + seconds:
            continue
        shares = shares_of(config, count, second=seconds)
        lowering = Lowering(network, outputs, works, resident, shares, config, batch, layout)
        candidates.append(_Candidate(lowering, _search(lowering)))
    return candidates


def _layout(network: Network, outputs: Sequence[HostOutput], config: Config) -> Layout:
    """Memory without tensors, in which inputs and outputs will have their names."""
    return Layout(config, {*network.entries, *(end.name for end in outputs)})


def _best(candidates: Sequence[_Candidate], effort: int) -> tuple[_Candidate, Assembly]:
    """The fastest way.

    Of those that keep the same maps on chip as the best first guess, the search goes on with the
    one that leaves it the most banks: that counts for more than where it starts.
    """
    best = min(candidates, key=lambda one: one.search.best.cycles)
    alike = [one for one in candidates if set(one.lowering.resident) == set(best.lowering.resident)]
    free = min(alike, key=lambda one: len(one.lowering.shares.resident))
    first, share = best.search.best, free.lowering.products_share
    sought = free.search.run(round(effort * share))
    return (free, sought) if sought.cycles < first.cycles else (best, first)


def _search(lowering: Lowering) -> Search:
    """The search for how to cut a network's products, with the first guess made."""
    config, shares = lowering.config, lowering.shares

    def build(cuts: Sequence[Cut]) -> Assembly:
        return assemble(lowering.operations(cuts), config)

    others = len(lowering.works) > len(lowering.products)
    free, usual = len(shares.source + shares.weight), len(shares.source) * others
    return Search(lowering.products, config, free, usual, build)


def _notes(graph: Graph, lowering: Lowering) -> dict[str, object]:
    return {
        "quantization": "int8",
        "calibration_samples": 0,
        **graph.notes,
        "resident": sorted(lowering.resident),
        "layers": [_facts(graph, node) for node in graph.nodes],
    }


def _facts(graph: Graph, node: Node) -> dict[str, object]:
    """Name, operator and quantization of a layer."""
    source, result = graph.values[node.inputs[0]], graph.values[node.output]
    return {
        "name": node.name,
        "kind": node.kind,
        "input": _quantization(source),
        "output": _quantization(result),
    }


def _quantization(value: Value) -> dict[str, object]:
    codes = value.format if isinstance(value.format, Affine8) else Affine8(1.0)
    return {"scale": codes.scale, "zero_point": codes.zero}
