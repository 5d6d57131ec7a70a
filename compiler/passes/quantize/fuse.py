"""From operators to steps: each what the machine does in one go, before a result is rounded."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from pulsarray.compiler.ir.graph import Graph, Node
from pulsarray.compiler.ir.operator import Kind
from pulsarray.compiler.passes.quantize.rules import rule_of
from pulsarray.compiler.passes.quantize.steps import Step

__all__ = ["fuse_graph"]


def fuse_graph(graph: Graph, rounded: Collection[str] = ()) -> list[Step]:
    """The steps of a folded network, without what a host does.

    A function joins the step before it, and a sum the convolution before it, where nothing
    else reads what is between the two, and it is no output nor one of the values ``rounded``.

    Raises
    ------
    InputError
        If an operator is not possible in int8.
    """
    uses = graph.uses
    uses.update(list(rounded))
    steps: list[Step] = []
    for node in graph.nodes:
        if node.op.kind is Kind.HOST:
            continue
        step = _step(graph, node)
        if node.op.is_elementwise:
            _apply(steps, step, uses[step.raw] == 1)
        elif rule_of(node).sums:
            _add(steps, step, [name for name in step.sources if uses[name] == 1])
        else:
            steps.append(step)
    return steps


def _step(graph: Graph, node: Node) -> Step:
    """An operator by itself."""
    rule_of(node)
    operands = graph.operands_of(node)
    sources = tuple(value.name for value in operands)
    constants = tuple(v.array for v in graph.inputs_of(node) if v not in operands)
    raw = sources[0] if node.op.is_elementwise else node.output
    return Step(node, sources, constants, node.output, raw)


def _apply(steps: list[Step], function: Step, alone: bool) -> None:
    """A function, with the step that writes its argument where that can take it in."""
    node, source = function.node, function.raw
    for place, step in enumerate(steps):
        if alone and step.output == source and rule_of(step.node).takes.allows(node.op):
            steps[place] = replace(step, output=node.output, applied=(*step.applied, node))
            return
    steps.append(function)


def _add(steps: list[Step], total: Step, free: Sequence[str]) -> None:
    """A sum, with a convolution that writes one of its terms, where there is one."""
    first, second = total.sources
    for place in reversed(range(len(steps))):
        step = steps[place]
        plain = rule_of(step.node).adds and step.output == step.raw
        if plain and step.residual is None and step.output in free:
            other = second if first == step.output else first
            steps.pop(place)
            steps.append(replace(step, output=total.output, raw=total.output, residual=other))
            return
    steps.append(total)
