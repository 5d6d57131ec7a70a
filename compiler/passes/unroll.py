"""Several runs of a network as one, through which its state goes."""

from __future__ import annotations

from dataclasses import replace

from pulsarray.compiler.ir.graph import Graph, Node
from pulsarray.compiler.ir.value import Value

__all__ = ["unrolled"]


def unrolled(graph: Graph, runs: int) -> Graph:
    """The network that does so many runs of another one in one.

    Values and operators of run n get ``@n`` behind their names, but the state, which the first run
    reads, and what the last one leaves in it. Constants and parameters are those of all runs.

    Parameters
    ----------
    graph
        The network, of real numbers or in int8.
    runs
        How many, at least 1.
    """
    shared = {value.name for value in graph.constants}
    declared = [v for v in graph.declared if v.name in shared or v.name in graph.states]
    nodes: list[Node] = []
    held = {state: state for state in graph.states}
    for run in range(runs):
        names = {n: f"{n}@{run}" for n in graph.values if n not in shared} | held
        declared += [_renamed(v, names) for v in graph.declared if v.name not in {*shared, *held}]
        made = (node.renamed(names) for node in graph.nodes)
        nodes += (replace(node, name=f"{node.name}@{run}") for node in made)
        held = {state: names[after] for state, after in graph.states.items()}
    ends = [f"{name}@{run}" for run in range(runs) for name in graph.outputs]
    views = {f"{n}@{run}": v for run in range(runs) for n, v in graph.views.items()}
    views |= {name: view for name, view in graph.views.items() if name in graph.states}
    return Graph(graph.name, declared, nodes, tuple(ends), views, graph.notes, held)


def _renamed(value: Value, names: dict[str, str]) -> Value:
    return replace(value, name=names[value.name])
