"""Networks in real numbers: every operator's definition, one after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from pulsarray.compiler.ir.graph import Graph, Node
from pulsarray.compiler.ir.value import Array
from pulsarray.errors import InputError

__all__ = ["operands", "run", "run_outputs"]


def run(graph: Graph, inputs: Mapping[str, Array] | Array) -> dict[str, Array]:
    """Every value of a network by name, but its constants.

    Parameters
    ----------
    graph
        The network.
    inputs
        Samples of each input by name, or of the only one: (samples, *its shape), float32 or
        float64, which all arithmetic has. What overflows becomes infinite.

    Raises
    ------
    InputError
        If an input is missing or has another shape.
    """
    return _run(graph, inputs, every=True)


def run_outputs(graph: Graph, inputs: Mapping[str, Array] | Array) -> dict[str, Array]:
    """The outputs of a network by name, keeping no other value longer than it is read.

    Parameters, raises: as :func:`run`.
    """
    return _run(graph, inputs, every=False)


def _run(graph: Graph, inputs: Mapping[str, Array] | Array, *, every: bool) -> dict[str, Array]:
    values = _samples(graph, inputs)
    left = graph.readers
    left.update(list(graph.values) if every else graph.outputs)
    with np.errstate(over="ignore", invalid="ignore"):
        for node in graph.nodes:
            values[node.output] = node.op.real(*operands(graph, node, values))
            left.subtract(node.inputs)
            for name in {*node.inputs, node.output}:
                if not left[name]:
                    values.pop(name, None)
    return values if every else {name: values[name] for name in graph.outputs}


def operands(graph: Graph, node: Node, values: Mapping[str, Array]) -> Sequence[Array]:
    """What an operator reads; a constant where it could be any value is the same for each sample.

    Parameters
    ----------
    values
        All others, of which there is at least one, by name.
    """
    some = next(iter(values.values()))
    arrays = []
    for place, value in enumerate(graph.inputs_of(node)):
        if not value.role.is_constant:
            arrays.append(values[value.name])
        elif place in node.op.constants:
            arrays.append(value.array)
        else:
            array = value.array.astype(some.dtype)
            arrays.append(np.broadcast_to(array, (len(some), *value.shape)))
    return arrays


def _samples(graph: Graph, inputs: Mapping[str, Array] | Array) -> dict[str, Array]:
    """Samples of all inputs by name."""
    known = inputs if isinstance(inputs, Mapping) else {graph.input.name: inputs}
    for value in graph.inputs:
        if value.name not in known:
            raise InputError(f"{graph.name}: samples of the input {value.name!r} are missing")
        if known[value.name].shape[1:] != value.shape:
            raise InputError(
                f"{value.name}: samples must have shape {value.shape}, "
                f"not {known[value.name].shape[1:]}"
            )
    return {value.name: known[value.name] for value in graph.inputs}
