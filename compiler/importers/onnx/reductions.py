"""ONNX operators that make one number of several along axes: sums, means, largest elements."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from math import prod

import numpy as np

from pulsarray.compiler.importers.onnx.constants import axes_of
from pulsarray.compiler.importers.onnx.file import Call
from pulsarray.compiler.importers.onnx.orders import (
    NO_AXIS,
    Tensor,
    arranged,
    crossings,
    places_at,
)
from pulsarray.compiler.importers.onnx.tensors import Network
from pulsarray.compiler.ir.operator import Operator
from pulsarray.compiler.ops.exp import Exp
from pulsarray.compiler.ops.index import ArgMax, ArgMin, LastArgMax, LastArgMin
from pulsarray.compiler.ops.log import Log
from pulsarray.compiler.ops.power import Root
from pulsarray.compiler.ops.reduction import ReduceMax, ReduceMean, ReduceSum
from pulsarray.compiler.ops.sign import Absolute, Negate
from pulsarray.compiler.ops.square import Square
from pulsarray.compiler.passes.maps import LARGEST_REORDER
from pulsarray.errors import InputError

__all__ = ["REDUCTIONS", "named_axes", "place_of", "reduce"]


@dataclass(frozen=True)
class Reduction:
    """What makes one number of several, and functions of each before it and of the result."""

    kind: Callable[[tuple[int, ...]], Operator]
    before: Operator | None = None
    after: Operator | None = None


REDUCTIONS: Mapping[str, Reduction] = {
    "ReduceL1": Reduction(ReduceSum, Absolute()),
    "ReduceL2": Reduction(ReduceSum, Square(), Root()),
    "ReduceLogSum": Reduction(ReduceSum, None, Log()),
    "ReduceLogSumExp": Reduction(ReduceSum, Exp(), Log()),
    "ReduceMax": Reduction(ReduceMax),
    "ReduceMean": Reduction(ReduceMean),
    "ReduceMin": Reduction(ReduceMax, Negate(), Negate()),
    "ReduceSum": Reduction(ReduceSum),
    "ReduceSumSquare": Reduction(ReduceSum, Square()),
}
"""What each becomes."""


def reduce(network: Network, call: Call) -> None:
    """One of :data:`REDUCTIONS`."""
    axes = named_axes(network, call)
    if not axes and call.integer("noop_with_empty_axes", 0):
        network.alias(call.outputs[0], call.inputs[0], call.where)
        return
    tensor, before = network.sample(call.inputs[0], call.where)
    rank = before + len(tensor.shape)
    if before and (not axes or 0 in axes or -rank in axes):
        tensor, before = network.sample(call.inputs[0], call.where, whole=True)
    places, way = _places(call, axes or range(rank), rank, before), REDUCTIONS[call.kind]
    tensor = _applied(network, call, tensor, way.before, "elements")
    made = _applied(network, call, _along(network, call, tensor, places), way.after, "result")
    network.define(call.outputs[0], made, 0 if before else NO_AXIS)


def named_axes(network: Network, call: Call) -> tuple[int, ...]:
    """Axes as the file names them; none for all."""
    constants = [network.raw(name, call.where, "axes") for name in call.inputs[1:] if name]
    axes = axes_of(call, [constants[0], *constants]) if constants else call.integers("axes")
    return axes or ()


def _places(call: Call, axes: Collection[int], rank: int, before: int) -> tuple[int, ...]:
    """Axes of a sample, in order."""
    places = sorted(axis % rank for axis in axes)
    if places[0] < before or any(not -rank <= axis < rank for axis in axes):
        raise InputError(
            f"{call.where}: {call.kind} must be along axes from {before} to {rank - 1}, not "
            f"{axes if len(axes) < rank else 'all'}, which would mix the samples of a batch"
        )
    if len({*places}) < len(places):
        raise InputError(f"{call.where}: {call.kind} has an axis twice among {axes}")
    return tuple(axis - before for axis in places)


def place_of(network: Network, call: Call) -> None:
    """Places of the largest or smallest along an axis, which becomes the channels."""
    tensor, before = network.sample(call.inputs[0], call.where)
    rank, axis = len(tensor.shape) + before, call.integer("axis", 0)
    if not -rank <= axis < rank or axis % rank < before:
        raise InputError(
            f"{call.where}: {call.kind} must be along an axis from {before} to {rank - 1}, "
            f"not {axis}"
        )
    first = np.moveaxis(tensor.places, axis % rank - before, 0)
    shape = network.shape(tensor.value)
    made = network.usual(arranged(tensor.value, shape, first), call.where)
    if len(made.shape) == 1:
        made = network.vector(made)
    op = PLACES[call.kind, bool(call.integer("select_last_index", 0))]
    pixels = made.places[0] // made.shape[0]
    value = network.emit(network.label(call), op, (made.value,), network.fresh(call.outputs[0]))
    if call.integer("keepdims", 1):
        pixels = np.expand_dims(pixels, axis % rank - before)
    made = arranged(value.value, network.shape(value.value), np.asarray(pixels))
    network.define(call.outputs[0], made, 0 if before else NO_AXIS)


PLACES: Mapping[tuple[str, bool], Operator] = {
    ("ArgMax", False): ArgMax(),
    ("ArgMax", True): LastArgMax(),
    ("ArgMin", False): ArgMin(),
    ("ArgMin", True): LastArgMin(),
}
"""What each becomes, without and with ``select_last_index``."""


def _applied(
    network: Network, call: Call, tensor: Tensor, function: Operator | None, what: str
) -> Tensor:
    """A function of all elements of a tensor, if there is one."""
    if function is None:
        return tensor
    output = network.fresh(f"{call.outputs[0]} {what} {function.title}")
    value = network.emit(output, function, (tensor.value,), output).value
    return arranged(value, network.shape(value), tensor.places)


def _along(network: Network, call: Call, tensor: Tensor, axes: Collection[int]) -> Tensor:
    """The operator along axes of the value, which those of the file become if they are not."""
    made = _of_value(network, call, tensor, axes)
    if made is None and prod(tensor.shape) > LARGEST_REORDER:
        made = _of_groups(network, call, tensor, axes)
    if made is None:
        made = _of_value(network, call, network.usual(tensor, call.where), axes)
    if made is None:
        made = _of_value(network, call, _with_rows(network, call, tensor, axes), axes)
    assert made is not None
    return made


def _of_groups(
    network: Network, call: Call, tensor: Tensor, axes: Collection[int]
) -> Tensor | None:
    """The operator on a tensor of which an axis that stays becomes the channels of its value.

    What reads the tensor later on finds it so.
    """
    *sizes, _ = network.shape(tensor.value)
    column = network.with_pixels(tensor.value, (prod(sizes), 1)) if sizes else tensor.value
    line = arranged(column, network.shape(column), tensor.places)
    for axis in range(len(tensor.shape)):
        grouped = network.grouped(line, axis) if axis not in axes else None
        made = grouped and _of_value(network, call, grouped, axes)
        if grouped and made:
            before = network.tensor_of_any_order(call.inputs[0], call.where)
            if before.value == tensor.value and before.shape == tensor.shape:
                network.define(call.inputs[0], grouped, before.batch_axis)
            return made
    return None


def _with_rows(network: Network, call: Call, tensor: Tensor, axes: Collection[int]) -> Tensor:
    """A tensor whose axes that are reduced are, together, the channels of its value."""
    kept = [axis for axis in range(len(tensor.shape)) if axis not in axes]
    order = (*kept, *axes)
    turned = tensor.places.transpose(order)
    rows = turned.reshape(-1, prod(tensor.shape[axis] for axis in axes))
    made = arranged(tensor.value, network.shape(tensor.value), rows)
    made, _ = network.by_channel(made, 1, call.where)
    places = made.places.reshape(turned.shape).transpose(np.argsort(order))
    return arranged(made.value, network.shape(made.value), places)


def _of_value(network: Network, call: Call, tensor: Tensor, axes: Collection[int]) -> Tensor | None:
    """The operator along axes of the value; None if those of the file are no such axes."""
    sizes = network.shape(tensor.value)
    kept = [axis for axis in range(len(tensor.shape)) if axis not in axes]
    turned = tensor.places.transpose(*kept, *axes)
    groups = turned.reshape(prod(tensor.shape[axis] for axis in kept), -1)
    places = [*crossings(groups, sizes)]
    gone = [axis for axis, at in enumerate(places) if (at != at[:, :1]).any()]
    if prod(sizes[axis] for axis in gone) != groups.shape[1]:
        return None
    value = tensor.value
    if gone:
        op = REDUCTIONS[call.kind].kind(tuple(axis - len(sizes) for axis in gone))
        value = network.emit(
            network.label(call), op, (value,), network.fresh(call.outputs[0])
        ).value
    left = [np.zeros_like(at[:, 0]) if axis in gone else at[:, 0] for axis, at in enumerate(places)]
    shape = network.shape(value)
    whole = [1 if axis in axes else size for axis, size in enumerate(tensor.shape)]
    if not call.integer("keepdims", 1):
        whole = [tensor.shape[axis] for axis in kept]
    return arranged(value, shape, places_at(left, shape).reshape(whole))
