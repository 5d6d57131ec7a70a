"""What several operators make of each element of one value is one function: a table in int8.

``x * sigmoid(x)``, ``x * clip(x + 3, 0, 6) / 6`` and others are often spelled out: as a sum or
product of what are both functions of one value, of which each element would be rounded several
times on the way, and maps multiplied that are one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from pulsarray.compiler.ir.graph import Graph, Node, needed
from pulsarray.compiler.ir.value import Array
from pulsarray.compiler.ops.add import Add
from pulsarray.compiler.ops.batch_norm import BatchNorm
from pulsarray.compiler.ops.function import Function
from pulsarray.compiler.ops.multiply import Multiply

__all__ = ["Curve", "with_curves"]


@dataclass(frozen=True, eq=False)
class Curve(Function, title="curve", summary="a function that operators spell out", reads=("x",)):
    """Operators on single elements, one after the other.

    Parameters
    ----------
    of
        Titles of the operators.
    source
        Name under which they read x.
    nodes
        The operators.
    numbers
        What else they read.
    """

    of: tuple[str, ...]
    source: str = field(repr=False)
    nodes: tuple[Node, ...] = field(repr=False)
    numbers: Mapping[str, Array] = field(repr=False)

    def real(self, *arrays: Array) -> Array:
        """The last operator's result."""
        values = {**self.numbers, self.source: arrays[0]}
        for node in self.nodes:
            values[node.output] = node.op.real(*(values[name] for name in node.inputs))
        return values[self.nodes[-1].output]


def with_curves(graph: Graph) -> Graph:
    """The network with one function for sums and products of functions of one value.

    Operators whose results something else reads stay as well.
    """
    functions = _Functions(graph)
    curves = {functions.end_of(name): functions.sources[name] for name in functions.joined}
    nodes = [
        _curve(graph, node, curves[node.output], functions) if node.output in curves else node
        for node in graph.nodes
    ]
    return graph.rebuilt(needed(nodes, (*graph.outputs, *graph.states.values())))


def _curve(graph: Graph, end: Node, source: str, functions: _Functions) -> Node:
    """All operators between a value and another one as one function."""
    nodes = functions.between(source, end.output)
    constants = {name: array for node in nodes for name, array in _constants(graph, node)}
    op = Curve(tuple(node.op.title for node in nodes), source, nodes, constants)
    return Node(end.name, op, (source,), end.output)


class _Functions:
    """Values that are functions of single elements of another one.

    Members
    -------
    sources
        By each of them: the value that it is a function of.
    joined
        Those that are made of two.
    """

    def __init__(self, graph: Graph) -> None:
        self._graph, self._uses = graph, graph.uses
        self._uses.update(graph.states.values())
        self._makers = {node.output: node for node in graph.nodes}
        self._readers = {name: node for node in graph.nodes for name in node.inputs}
        self.sources: dict[str, str] = {}
        self.joined: list[str] = []
        for node in graph.nodes:
            source = self._source(node)
            if source is not None:
                self.sources[node.output] = source
                self.joined += [node.output] if len(node.inputs) == 2 else []

    def _source(self, node: Node) -> str | None:
        """The last value that all of an operator's inputs are functions of."""
        if isinstance(node.op, Add | Multiply):
            first, second = (list(self._line(name)) for name in node.inputs)
            return next((name for name in first if name in second), None)
        return node.inputs[0] if _is_function(self._graph, node) else None

    def _line(self, name: str) -> Iterator[str]:
        """A value, what it is a function of, what that is, and so on."""
        while True:
            yield name
            if name not in self.sources:
                return
            name = self.sources[name]

    def end_of(self, name: str) -> str:
        """The value behind the functions that alone read a value, one after the other."""
        while self._uses[name] == 1 and name in self._readers:
            node = self._readers[name]
            if node.output in self.joined or self.sources.get(node.output) != name:
                break
            name = node.output
        return name

    def between(self, source: str, end: str) -> tuple[Node, ...]:
        """The operators that make one value of another."""
        wanted = {end}
        for node in reversed(self._graph.nodes):
            if node.output in wanted and node.output != source:
                wanted |= {name for name in node.inputs if name in self._makers or name == source}
        nodes = self._graph.nodes
        return tuple(n for n in nodes if n.output in wanted and n.output != source)


def _is_function(graph: Graph, node: Node) -> bool:
    """Whether each element of a result follows from that of the input, in the same way.

    A place where a quantized network rounds is none: what is rounded there would change.
    """
    if isinstance(node.op, BatchNorm):
        return all(np.ptp(line) == 0 for line in node.op.affine(*graph.arrays_of(node)))
    return node.op.is_elementwise and not node.op.is_identity


def _constants(graph: Graph, node: Node) -> Iterator[tuple[str, Array]]:
    """What a function reads besides its argument: of all channels the same."""
    for name in node.inputs:
        if graph.values[name].role.is_constant:
            yield name, graph.values[name].array[:1]
