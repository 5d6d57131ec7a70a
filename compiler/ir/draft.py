"""Graphs while they are made, operator by operator."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from pulsarray.compiler.ir.formats import REAL
from pulsarray.compiler.ir.graph import Graph, Node, result_of
from pulsarray.compiler.ir.operator import Operator
from pulsarray.compiler.ir.value import Array, Role, Shape, Value, constant, parameter
from pulsarray.views import HostView

__all__ = ["Draft"]


class Draft:
    """A network while it is made.

    Parameters
    ----------
    name
        Its name.
    declared
        Inputs, constants and parameters that it begins with.
    taken
        Names that operators will write, which new constants do not get.

    Members
    -------
    nodes
        The operators.
    values
        Every value by name.
    states
        As of a graph.
    """

    def __init__(self, name: str, declared: Iterable[Value], taken: Collection[str] = ()) -> None:
        self.name = name
        self.nodes: list[Node] = []
        self.values = {value.name: value for value in declared}
        self.states: Mapping[str, str] = {}
        self._taken = taken

    @classmethod
    def of(cls, graph: Graph) -> Draft:
        """A network without operators, but with the inputs, state and constants of a graph."""
        declared = (v for v in graph.declared if v.role is not Role.ACTIVATION)
        draft = cls(graph.name, declared, graph.values)
        draft.states = graph.states
        return draft

    def shape(self, name: str) -> Shape:
        """Shape of a value."""
        return self.values[name].shape

    def inputs_of(self, node: Node) -> list[Value]:
        """What an operator reads."""
        return [self.values[name] for name in node.inputs]

    def fresh(self, name: str) -> str:
        """A name for a value that no other has."""
        while name in self.values:
            name += "'"
        return name

    def hold(self, value: Value) -> str:
        """Add a constant or parameter under a name that no other has, and return that."""
        name = value.name
        while name in self.values or name in self._taken:
            name += "'"
        self.values[name] = value if name == value.name else replace(value, name=name)
        return name

    def emit(self, node: Node) -> Value:
        """Put an operator at the end; its result.

        Raises
        ------
        InputError
            If names or shapes do not fit.
        """
        result = result_of(node, self.values)
        self.nodes.append(node)
        self.values[node.output] = result
        return result

    def add(
        self,
        name: str,
        op: Operator,
        sources: Sequence[str],
        output: str,
        parameters: Mapping[str, Array] | None = None,
        constants: Mapping[str, Array] | None = None,
    ) -> Value:
        """Put an operator at the end, of these sources, then its parameters, then its constants.

        What it learns and what is constant become values ``NAME.WHAT``.

        Raises
        ------
        InputError
            If names or shapes do not fit.
        """
        made = [parameter(f"{name}.{what}", data) for what, data in (parameters or {}).items()]
        made += [constant(f"{name}.{what}", data) for what, data in (constants or {}).items()]
        inputs = (*sources, *(self.hold(value) for value in made))
        return self.emit(Node(name, op, inputs, output))

    def renamed(self, value: Value, name: str) -> str:
        """Give the last operator's result another name, if that is free; the name that it has."""
        if not self.nodes or self.nodes[-1].output != value.name or name in self.values:
            return value.name
        self.nodes[-1] = self.nodes[-1].renamed({value.name: name})
        self.values[name] = replace(self.values.pop(value.name), name=name)
        return name

    def remove(self, place: int = -1) -> Node:
        """Take an operator away again, with the constants that only it read."""
        node = self.nodes.pop(place)
        read = {name for other in self.nodes for name in other.inputs}
        for name in {*node.inputs} - read:
            if self.values[name].role.is_constant:
                del self.values[name]
        del self.values[node.output]
        return node

    def graph(
        self,
        outputs: tuple[str, ...],
        views: Mapping[str, HostView] | None = None,
        nodes: Sequence[Node] | None = None,
    ) -> Graph:
        """The checked network, without constants that nothing reads.

        Parameters
        ----------
        outputs, views
            As of a graph.
        nodes
            Other operators than its own.

        Raises
        ------
        InputError
            If names or shapes do not fit.
        """
        nodes = self.nodes if nodes is None else nodes
        read = {name for node in nodes for name in node.inputs} | {*outputs}
        kept = [v for v in self.values.values() if v.role.is_entry or _is_kept(v, read)]
        names = _free_names(kept, outputs)
        kept = [replace(v, name=names[v.name]) if v.name in names else v for v in kept]
        nodes = [node.renamed(names) for node in nodes] if names else nodes
        return Graph(self.name, kept, nodes, outputs, views or {}, states=self.states)


def _free_names(values: Sequence[Value], outputs: Collection[str]) -> dict[str, str]:
    """Names without primes of constants that have one because of a value that has gone."""
    taken = {value.name for value in values} | {*outputs}
    names: dict[str, str] = {}
    for value in values:
        plain = value.name.rstrip("'")
        if value.role.is_constant and value.name not in outputs and plain not in taken:
            names[value.name] = plain
            taken.add(plain)
    return names


def _is_kept(value: Value, read: Collection[str]) -> bool:
    """Whether a graph declares a value: what it computes in real numbers follows by itself."""
    return value.name in read and (value.role is not Role.ACTIVATION or value.format != REAL)
