"""A network in integers while it is being made, value by value and operator by operator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from pulsarray.compiler.ir.formats import Affine8, Format, Integers
from pulsarray.compiler.ir.graph import Graph, Node
from pulsarray.compiler.ir.operator import Operator
from pulsarray.compiler.ir.value import Array, Shape, Value, activation, constant, network_input
from pulsarray.compiler.ops.integer.codes import HIGH, LOW
from pulsarray.errors import InputError
from pulsarray.views import HostView

__all__ = ["Parts"]

_SUM_BITS = 32


class Parts:
    """Values and operators of a network so far.

    Members
    -------
    values
        The input, constants and results by name.
    nodes
        The operators, each after those whose results it reads.
    """

    def __init__(self) -> None:
        self.values: dict[str, Value] = {}
        self.nodes: list[Node] = []

    def put(self, value: Value) -> Value:
        """Declare a value, or replace the one of that name; a constant makes room for it."""
        taken = self.values.get(value.name)
        if taken is not None and taken.role.is_constant:
            name = self.free(taken.name)
            self.values[name] = replace(taken, name=name)
            self.nodes = [
                replace(node, inputs=tuple(name if n == taken.name else n for n in node.inputs))
                for node in self.nodes
            ]
        self.values[value.name] = value
        return value

    def input(self, name: str, shape: Shape, codes: Affine8) -> Value:
        """Declare the network's input."""
        return self.put(network_input(name, shape, codes))

    def map(self, name: str, shape: Shape, codes: Format) -> Value:
        """Declare a result."""
        return self.put(activation(name, shape, codes))

    def constant(self, name: str, data: Array, form: Format) -> str:
        """Declare a constant; its name, as :meth:`free` makes it."""
        name = self.free(name)
        self.values[name] = constant(name, data, form)
        return name

    def add(
        self, name: str, op: Operator, inputs: Sequence[str], output: str, label: str = ""
    ) -> Node:
        """Put an operator at the end."""
        self.nodes.append(Node(name, op, tuple(inputs), output, label))
        return self.nodes[-1]

    def product(
        self,
        name: str,
        op: Operator,
        source: str,
        weight: Array,
        bias: Array,
        output: str,
        label: str = "",
        second: str | None = None,
    ) -> Node:
        """Put a product at the end, with its weights, biases and what is added to it.

        Raises
        ------
        InputError
            If weights are no int8 codes.
        """
        if weight.size and (int(weight.min()) < LOW or int(weight.max()) > HIGH):
            raise InputError(f"{name}: weights must be int8 codes")
        codes = self.constant(f"{name}.weight", weight.astype(np.int8, copy=False), Integers(8))
        offsets = self.constant(f"{name}.bias", bias, Integers(_SUM_BITS))
        more = () if second is None else (second,)
        return self.add(name, op, (source, codes, offsets, *more), output, label)

    def graph(
        self,
        name: str,
        outputs: Sequence[str],
        *,
        views: Mapping[str, HostView] | None = None,
        notes: Mapping[str, object] | None = None,
        states: Mapping[str, str] | None = None,
    ) -> Graph:
        """The network.

        Raises
        ------
        InputError
            As :class:`Graph`.
        """
        declared = tuple(self.values.values())
        nodes, all_views, known = tuple(self.nodes), views or {}, notes or {}
        return Graph(name, declared, nodes, tuple(outputs), all_views, known, states or {})

    def free(self, name: str) -> str:
        """The name, with a sign behind it where another value has it."""
        while name in self.values:
            name += "#"
        return name
