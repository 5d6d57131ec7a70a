"""Two tensors of a file, element by element: where one repeats, and where results lie."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from pulsarray.compiler.importers.onnx.file import Call
from pulsarray.compiler.importers.onnx.linear import spread
from pulsarray.compiler.importers.onnx.orders import (
    Ints,
    Shape,
    Tensor,
    arranged,
    crossings,
    places_at,
)
from pulsarray.compiler.importers.onnx.tensors import Network
from pulsarray.compiler.ops.binary import Binary
from pulsarray.errors import InputError

__all__ = ["emit_pair"]


def emit_pair(
    network: Network, call: Call, op: Binary, pair: tuple[Tensor, Tensor], name: str, output: str
) -> Tensor:
    """Put a function of two values at the end; its result, in the file's order.

    Raises
    ------
    InputError
        If the shapes do not fit, or the elements that meet do not lie where they meet in values.
    """
    shape = _shape(call, *pair)
    places = _places(network, pair, shape)
    if places is None:
        pair = network.usual(pair[0], call.where), network.usual(pair[1], call.where)
        places = _places(network, pair, shape)
    if places is None:
        pair = spread(network, call, pair[0], shape), spread(network, call, pair[1], shape)
        places = _places(network, pair, shape)
        assert places is not None
    made = network.emit(name, op, (pair[0].value, pair[1].value), output)
    return arranged(made.value, network.shape(made.value), places)


def _text(shape: Shape) -> str:
    return ", ".join(map(str, shape))


def _shape(call: Call, first: Tensor, second: Tensor) -> Shape:
    """Shape of the result, of one sample."""
    try:
        if len(first.shape) == len(second.shape):
            return np.broadcast_shapes(first.shape, second.shape)
    except ValueError:
        pass
    raise InputError(
        f"{call.where}: {call.kind} needs inputs of one shape, or sizes of 1 in as many axes, not "
        f"(N, {_text(first.shape)}) and (N, {_text(second.shape)})"
    )


def _places(network: Network, pair: tuple[Tensor, Tensor], shape: Shape) -> Ints | None:
    """Where results lie in the value of both; None if elements do not meet there as in the file."""
    sizes = [(1, 1, *network.shape(tensor.value))[-3:] for tensor in pair]
    try:
        result = np.broadcast_shapes(*sizes)
    except ValueError:
        return None
    if prod(result) != prod(shape):
        return None
    wide = [np.broadcast_to(tensor.places, shape) for tensor in pair]
    if sizes[0] == sizes[1]:
        places = wide[0] if np.array_equal(wide[0], wide[1]) else None
    else:
        places = _met(wide, sizes, result)
    if places is None:
        return None
    hit = np.zeros(places.size, bool)
    hit[places.ravel()] = True
    return places if hit.all() else None


def _met(places: Sequence[Ints], sizes: Sequence[Shape], result: Shape) -> Ints | None:
    """Where results lie of values of different sizes; None if their elements do not meet."""
    first, second = (crossings(w, s) for w, s in zip(places, sizes, strict=True))
    axes = []
    for axis, size in enumerate(result):
        one, other = first[axis], second[axis]
        if sizes[0][axis] == sizes[1][axis] and not np.array_equal(one, other):
            return None
        axes.append(one if sizes[0][axis] == size else other)
    return places_at(axes, result)
