"""Several runs of a network as one, through which its state goes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pulsarray.compiler.ir.graph import Graph, Node
from pulsarray.compiler.ir.operator import Operator
from pulsarray.compiler.ir.value import Role, Value, parameter
from pulsarray.compiler.numerics.exponents import DERIVATIVES
from pulsarray.compiler.ops.dense import Dense
from pulsarray.errors import InputError

__all__ = ["over_time", "unrolled"]


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


def over_time(graph: Graph, runs: int) -> Graph:
    """The same for training: the last run's answer, from the inputs of all runs.

    What a state holds at first is a dense layer of its name that is not to learn, with weights of 0
    and the contents as its bias. Where a state is the result of an activation, the layer has the
    same behind it, so that both have the same number format.

    Raises
    ------
    InputError
        If there are several answers, a state is no vector, or an activation does not give what it
        holds at first.
    """
    answers = [name for name in graph.outputs if name not in graph.states.values()]
    if len(answers) != 1:
        raise InputError(f"{graph.name}: training over time needs one answer, not {len(answers)}")
    whole = unrolled(graph, runs)
    declared = [v for v in whole.declared if v.role is not Role.STATE]
    makers, nodes = {node.output: node for node in graph.nodes}, list[Node]()
    for state, after in graph.states.items():
        held, first = _first(graph.values[state], whole.inputs[0], makers[after].op)
        declared += held
        nodes += first
    ends = (f"{answers[0]}@{runs - 1}",)
    return Graph(graph.name, declared, [*nodes, *whole.nodes], ends, notes=graph.notes)


def _first(state: Value, source: Value, op: Operator) -> tuple[list[Value], list[Node]]:
    """What a state holds at first as a layer of its name, and ``op`` behind it if that must be."""
    name, first = state.name, state.data
    if first is None or state.size != state.shape[-1]:
        raise InputError(f"{name}: training over time needs vectors, not {state.shape}")
    weight = parameter(f"{name}.weight", np.zeros((source.size, state.size)))
    bias = parameter(f"{name}.bias", first.reshape(-1))
    inputs = source.name, weight.name, bias.name
    if not (op.is_elementwise and _is_fixed(op)):
        return [weight, bias], [Node(name, Dense(), inputs, name)]
    if (op.real(first) != first).any():
        raise InputError(f"{name}: {op.title} of its first contents must be the same contents")
    layer = Node(name, Dense(), inputs, f"{name}.first")
    return [weight, bias], [layer, Node(f"{name}.{op.title}", op, (layer.output,), name)]


def _is_fixed(function: Operator) -> bool:
    """Whether the results of an activation have an exponent of their own."""
    rule = DERIVATIVES.get(function.variant)
    return rule is not None and rule.output is not None


def _renamed(value: Value, names: dict[str, str]) -> Value:
    return replace(value, name=names[value.name])
