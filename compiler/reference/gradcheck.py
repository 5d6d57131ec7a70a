"""Gradients of a network by its operators' own, and by differences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from pulsarray.compiler.ir.graph import Graph, Node
from pulsarray.compiler.ir.value import Array, Value
from pulsarray.compiler.reference.run import operands, run

__all__ = ["backward", "directional", "gradients"]


def gradients(
    graph: Graph, inputs: Mapping[str, Array], errors: Mapping[str, Array]
) -> dict[str, Array]:
    """Gradients of a scalar by every value that it depends on, constants too.

    Parameters
    ----------
    graph
        The network.
    inputs
        Samples of each input by name.
    errors
        The scalar's gradients by outputs, by name.

    Raises
    ------
    InputError
        If an operator has no gradient; the text names it.
    """
    return backward(graph, run(graph, inputs), errors)


def backward(
    graph: Graph, values: Mapping[str, Array], errors: Mapping[str, Array]
) -> dict[str, Array]:
    """Gradients as of :func:`gradients`, where all values are known, by name."""
    slopes = dict(errors)
    for node in reversed(graph.nodes):
        if node.output not in slopes:
            continue
        arrays = operands(graph, node, values)
        parts = node.op.gradient(arrays, values[node.output], slopes[node.output])
        for place, (name, part) in enumerate(zip(node.inputs, parts, strict=True)):
            if part is not None:
                _accumulate(slopes, name, _of_constant(graph, node, place, part))
    return slopes


def _of_constant(graph: Graph, node: Node, place: int, part: Array) -> Array:
    """A gradient by a constant that each sample reads is the sum of all samples'."""
    shared = graph.values[node.inputs[place]].role.is_constant and place not in node.op.constants
    return np.asarray(part.sum(axis=0)) if shared else part


def _accumulate(slopes: dict[str, Array], name: str, part: Array) -> None:
    slopes[name] = slopes[name] + part if name in slopes else part


def directional(
    graph: Graph,
    inputs: Mapping[str, Array],
    errors: Mapping[str, Array],
    directions: Mapping[str, Array],
    step: float = 1e-6,
) -> float:
    """Central difference of the sum of outputs times ``errors``, along a direction.

    Parameters
    ----------
    directions
        How much inputs and constants change, by name; they must be float64.
    step
        How far in each sense.
    """

    def total(distance: float) -> float:
        moved = {
            n: x + distance * directions[n] if n in directions else x for n, x in inputs.items()
        }
        constants = [_moved(value, distance, directions) for value in graph.constants]
        values = run(graph.rebuilt(graph.nodes, more=constants), moved)
        return sum(float((values[name] * error).sum()) for name, error in errors.items())

    return (total(step) - total(-step)) / (2 * step)


def _moved(value: Value, distance: float, directions: Mapping[str, Array]) -> Value:
    if value.name not in directions:
        return value
    return replace(value, data=value.array + distance * directions[value.name])
