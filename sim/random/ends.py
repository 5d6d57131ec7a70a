"""Random networks with several inputs and outputs, made of those with one each."""

from __future__ import annotations

import numpy as np

from pulsarray.compiler.ir.formats import REAL, Affine8
from pulsarray.compiler.ir.graph import Graph, Node, needed
from pulsarray.compiler.ir.value import Role, Value, activation
from pulsarray.compiler.ops.identity import Identity
from pulsarray.compiler.ops.softmax import Softmax

__all__ = ["with_more_ends"]

_MOST = 3


def with_more_ends(random: np.random.Generator, graph: Graph) -> Graph:
    """The network with some results as outputs, too, and others as inputs.

    What depends on new inputs alone no longer depends on the old one, which may then be read by
    nothing. Of a network in int8 the host makes something of an output, half of the time.
    """
    names = [node.output for node in graph.nodes if _is_map(graph.values[node.output])]
    names = [str(name) for name in random.permutation(names)]
    free = [name for name in names if name not in graph.outputs]
    inputs = {*free[: int(random.integers(_MOST))]}
    more = [name for name in free if name not in inputs][: int(random.integers(_MOST + 1))]
    outputs = (*graph.outputs, *more)
    nodes = needed([node for node in graph.nodes if node.output not in inputs], outputs)
    read = {name for node in nodes for name in node.inputs} | {*outputs}
    declared = [v for v in graph.declared if v.role is Role.INPUT or v.name in read - inputs]
    declared += [_as_input(graph.values[name]) for name in graph.values if name in read & inputs]
    made = Graph(graph.name, declared, nodes, outputs)
    return _with_host(random, made) if graph.is_quantized and random.integers(2) else made


def _is_map(value: Value) -> bool:
    """Whether a result can be an input, or an output that is read further: it is no sums."""
    return value.format == REAL or isinstance(value.format, Affine8)


def _as_input(value: Value) -> Value:
    return Value(value.name, value.shape, value.format, Role.INPUT)


def _with_host(random: np.random.Generator, graph: Graph) -> Graph:
    """The network with another output, which the host makes of one that there is."""
    sources = [name for name in graph.outputs if _is_map(graph.values[name])]
    if not sources:
        return graph
    source = str(random.choice(sources))
    op, name = (Softmax(), Identity())[int(random.integers(2))], f"{source} for the host"
    node = Node(name, op, (source,), name)
    more = [activation(name, graph.values[source].shape)]
    return graph.rebuilt([*graph.nodes, node], more=more, outputs=(*graph.outputs, name))
