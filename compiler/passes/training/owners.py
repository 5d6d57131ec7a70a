"""Which layer has which parameters: of several that read the same, all have them in common."""

from __future__ import annotations

from pulsarray.compiler.ir.graph import Graph, Node
from pulsarray.compiler.ir.value import Role
from pulsarray.errors import InputError

__all__ = ["RUN", "Owners"]

RUN = "@"
"""Begins what tells apart the values of several runs in one network (:func:`unrolled`)."""


class Owners:
    """Who owns which parameters of a network."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.firsts: dict[tuple[str, ...], str] = {}
        self.readers: dict[str, str] = {}
        self.taken = {node.name for node in graph.nodes}

    def of(self, node: Node, *, shares: bool) -> tuple[str, str | None]:
        """The name of a layer's parameters, and the layer before that has them, if there is one.

        Raises
        ------
        InputError
            If another one has some of them, but not all, or is a normalization.
        """
        values = [self.graph.values[name] for name in node.inputs]
        names = tuple(value.name for value in values if value.role is Role.PARAMETER)
        first = self.firsts.get(names)
        others = [self.readers[name] for name in names if name in self.readers]
        if others and (first is None or not shares):
            raise InputError(
                f"{node.name}: some of its parameters belong to {others[0]}, too; in training "
                "dense layers and convolutions may share weights and biases, both or none"
            )
        if first is not None:
            return "", first
        if names:
            self.readers |= dict.fromkeys(names, node.name)
            self.firsts[names] = node.name
        plain = node.name.partition(RUN)[0]
        owner = node.name if plain in self.taken else plain
        self.taken.add(owner)
        return owner, None
