"""Pad with copies of a large tensor's own elements: parts of it before and behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from pulsarray.compiler.importers.onnx.file import Call
from pulsarray.compiler.importers.onnx.joining import concat
from pulsarray.compiler.importers.onnx.linear import gathered
from pulsarray.compiler.importers.onnx.moving import place
from pulsarray.compiler.importers.onnx.orders import Ints
from pulsarray.compiler.importers.onnx.tensors import Network
from pulsarray.errors import InputError

__all__ = ["COPIES", "pad_with_copies"]

COPIES: Mapping[str, Literal["reflect", "edge", "wrap"]] = {
    "reflect": "reflect",
    "edge": "edge",
    "wrap": "wrap",
}
"""Modes that copy elements, as NumPy calls them."""


def pad_with_copies(network: Network, call: Call, sides: Sequence[tuple[int, int]]) -> None:
    """Elements before and behind each axis.

    Raises
    ------
    InputError
        If samples would be added, elements left out, or more mirrored than there are.
    """
    axes = [axis for axis, pair in enumerate(sides) if any(pair)]
    if 0 in axes or min(map(min, sides)) < 0:
        raise InputError(f"{call.where}: Pad must keep samples, and all elements of each")
    name = call.inputs[0]
    for axis in axes:
        output = call.outputs[0] if axis == axes[-1] else network.fresh(f"{name} padded")
        _along(network, replace(call, inputs=(name,), outputs=(output,)), axis, sides[axis])
        name = output
    if not axes:
        network.alias(call.outputs[0], name, call.where)


def _along(network: Network, call: Call, axis: int, sides: tuple[int, int]) -> None:
    """What is before and behind one axis."""
    name, (first, last) = call.inputs[0], sides
    size = network.tensor(name, call.where).shape[axis - 1]
    mode = COPIES[call.text("mode", "constant")]
    if mode == "reflect" and max(sides) >= size:
        raise InputError(f"{call.where}: Pad mirrors {max(sides)} of {size} elements")
    line = np.pad(np.arange(size), sides, mode=mode)
    parts = [
        _copied(network, call, name, axis - 1, line[:first]) if first else "",
        _in_order(network, call, name),
        _copied(network, call, name, axis - 1, line[first + size :]) if last else "",
    ]
    inputs = tuple(filter(None, parts))
    concat(network, replace(call, kind="Concat", inputs=inputs, attributes={"axis": axis}))


def _copied(network: Network, call: Call, name: str, axis: int, line: Ints) -> str:
    """Elements of a tensor along an axis, each as often as it is named."""
    tensor, low, part = network.tensor(name, call.where), int(line.min()), network.fresh(name)
    inside = np.arange(low, int(line.max()) + 1)
    place(network, call, tensor, tensor.places.take(inside, axis), part)
    cut, made = network.tensor(part, call.where), network.fresh(f"{name} copied")
    places = cut.places.take(line - low, axis)
    network.define(made, gathered(network, call, cut.value, places, made))
    return _in_order(network, call, made)


def _in_order(network: Network, call: Call, name: str) -> str:
    """A tensor whose value has its elements in the usual order."""
    made = network.fresh(f"{name} in order")
    network.define(made, network.usual(network.tensor(name, call.where), call.where))
    return made
