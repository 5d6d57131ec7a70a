"""Gradients of a network by its operators' own, and by differences."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from pulsarray.compiler.ir.graph import Graph, Node
from pulsarray.compiler.ir.value import Array, Value
from pulsarray.compiler.reference.run import operands, run

__all__ = ["backward", "directional", "gradients", "slopes"]


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

    return _central(total, step)


def slopes(
    function: Callable[[], float],
    array: Array,
    random: np.random.Generator,
    distance: float = 1e-5,
    most: int = 200,
) -> Array:
    """Central differences of a function by elements of an array that it reads.

    Parameters
    ----------
    function
        The function.
    array
        Float64, its elements one after the other in memory; it is as before afterwards.
    random, most
        How many elements are tried, and what draws them where there are more: the others are NaN.
    distance
        How far in each sense.
    """
    places, made = array.reshape(-1), np.full(array.size, np.nan)
    for place in random.permutation(array.size)[:most]:
        before = places[place]

        def moved(step: float, place: int = place, before: float = before) -> float:
            places[place] = before + step
            return function()

        made[place] = _central(moved, distance)
        places[place] = before
    return made.reshape(array.shape)


def _central(function: Callable[[float], float], step: float) -> float:
    return (function(step) - function(-step)) / (2.0 * step)


def _moved(value: Value, distance: float, directions: Mapping[str, Array]) -> Value:
    if value.name not in directions:
        return value
    return replace(value, data=value.array + distance * directions[value.name])
