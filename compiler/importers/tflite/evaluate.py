"""TensorFlow Lite's operators in numpy: what constants become, and sizes of what is moved."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from pulsarray.compiler.importers.tflite.file import Operator
from pulsarray.compiler.importers.tflite.lines import axis_indices, strided_axes, strided_indices
from pulsarray.errors import InputError

__all__ = ["ELEMENTWISE", "MOVING", "OTHERS", "Evaluate"]

Array = npt.NDArray[Any]
Evaluate = Callable[..., Array | list[Array]]
"""From an operator and its operands to its result, or all of them."""
_MOST = 1 << 27
"""Elements of a result."""


def _room(*sizes: int) -> None:
    if min(sizes, default=0) < 0 or prod(sizes) > _MOST:
        raise InputError(f"a result of sizes {sizes} is not possible")


def _ints(array: Array) -> list[int]:
    return [int(number) for number in np.asarray(array).reshape(-1)]


def _int(array: Array) -> int:
    (number,) = _ints(array)
    return number


def _axis(axis: int, rank: int) -> int:
    if not -rank <= axis < rank:
        raise InputError(f"there is no axis {axis} of {rank}")
    return axis % rank


def _quotient(a: Array, b: Array) -> Array:
    """Of whole numbers rounded towards zero."""
    if not np.issubdtype(a.dtype, np.integer):
        return np.asarray(a / b)
    _divisor(b)
    return np.asarray(np.sign(a) * np.sign(b) * (abs(a) // abs(b)))


def _divisor(b: Array) -> None:
    if np.issubdtype(b.dtype, np.integer) and not np.all(b):
        raise InputError("divides by 0")


def _floor_quotient(a: Array, b: Array) -> Array:
    _divisor(b)
    return np.asarray(a // b)


def _remainder(a: Array, b: Array) -> Array:
    _divisor(b)
    return np.asarray(np.mod(a, b))


def _reshape(operator: Operator, x: Array, sizes: Array | None = None) -> Array:
    wanted = operator.lists.get("NewShape", ()) if sizes is None else _ints(sizes)
    known = prod(size for size in wanted if size != -1)
    if [*wanted].count(-1) > 1 or min(wanted, default=1) < -1 or known > _MOST:
        raise InputError(f"a shape of {[*wanted]} is not possible")
    if x.size % known if -1 in wanted and known else x.size != known * (-1 not in wanted):
        raise InputError(f"{x.shape} cannot become {[*wanted]}")
    return x.reshape([*wanted])


def _squeeze(operator: Operator, x: Array) -> Array:
    axes = operator.lists.get("SqueezeDims", ())
    return np.squeeze(x, tuple(_axis(a, x.ndim) for a in axes) if axes else None)


def _expand(_operator: Operator, x: Array, axis: Array) -> Array:
    return np.expand_dims(x, _axis(_int(axis), x.ndim + 1))


def _transpose(_operator: Operator, x: Array, order: Array) -> Array:
    return np.transpose(x, _ints(order))


def _concatenate(operator: Operator, *parts: Array) -> Array:
    _room(sum(part.size for part in parts))
    return np.concatenate(parts, operator.option("Axis"))


def _pack(operator: Operator, *parts: Array) -> Array:
    _room(sum(part.size for part in parts))
    return np.stack(parts, operator.option("Axis"))


def _unpack(operator: Operator, x: Array) -> list[Array]:
    axis = _axis(operator.option("Axis"), x.ndim)
    if x.shape[axis] != len(operator.outputs):
        raise InputError(f"an axis of {x.shape[axis]} has other results")
    return [np.take(x, k, axis) for k in range(x.shape[axis])]


def _split(operator: Operator, axis: Array, x: Array) -> list[Array]:
    return [*np.split(x, len(operator.outputs), _axis(_int(axis), x.ndim))]


def _split_sizes(operator: Operator, x: Array, sizes: Array, axis: Array) -> list[Array]:
    place, parts = _axis(_int(axis), x.ndim), _ints(sizes)
    rest = x.shape[place] - sum(size for size in parts if size != -1)
    parts = [rest if size == -1 else size for size in parts]
    if min(parts, default=0) < 0 or sum(parts) != x.shape[place]:
        raise InputError(f"{x.shape[place]} elements have no parts of {parts}")
    if len(parts) != len(operator.outputs):
        raise InputError(f"{len(parts)} parts are not {len(operator.outputs)} results")
    return [*np.split(x, np.cumsum(parts)[:-1], place)]


def _slice(_operator: Operator, x: Array, begin: Array, size: Array) -> Array:
    return x[np.ix_(*axis_indices(x.shape, _ints(begin), _ints(size)))]


def _strided(operator: Operator, x: Array, begin: Array, end: Array, step: Array) -> Array:
    numbers = [_ints(array) for array in (begin, end, step)]
    operator, shape, numbers = strided_axes(operator, x.shape, numbers)
    x = x.reshape(shape)
    chosen = x[np.ix_(*strided_indices(operator, x.shape, numbers))] if x.ndim else x
    gone = [a for a in range(len(numbers[0])) if operator.option("ShrinkAxisMask") >> a & 1]
    return np.squeeze(chosen, tuple(gone))


def _gather(operator: Operator, x: Array, places: Array) -> Array:
    if operator.option("BatchDims"):
        raise InputError("indices of each sample are not supported")
    axis = _axis(operator.option("Axis"), x.ndim)
    _room(places.size, x.size // max(x.shape[axis], 1))
    return np.take(x, places, axis)


def _gather_places(_operator: Operator, x: Array, places: Array) -> Array:
    if not places.ndim or places.shape[-1] > x.ndim:
        raise InputError(f"places of {places.shape} do not fit {x.shape}")
    return np.asarray(x[tuple(np.moveaxis(places, -1, 0))])


def _tile(_operator: Operator, x: Array, times: Array) -> Array:
    counts = _ints(times)
    _room(x.size, *counts)
    return np.tile(x, counts)


def _broadcast(_operator: Operator, x: Array, sizes: Array) -> Array:
    _room(*_ints(sizes))
    return np.broadcast_to(x, _ints(sizes))


def _pad(_operator: Operator, x: Array, sides: Array, value: Array | None = None) -> Array:
    pairs = np.asarray(sides).reshape(-1, 2).tolist()
    _room(*(sum(pair) + n for pair, n in zip(pairs, x.shape, strict=True)))
    number = 0 if value is None else value.reshape(-1)[0]
    return np.pad(x, pairs, constant_values=number)


def _mirror(operator: Operator, x: Array, sides: Array) -> Array:
    pairs = np.asarray(sides).reshape(-1, 2).tolist()
    _room(*(sum(pair) + n for pair, n in zip(pairs, x.shape, strict=True)))
    return np.pad(x, pairs, mode="symmetric" if operator.option("Mode") else "reflect")


def _reverse(_operator: Operator, x: Array, axes: Array) -> Array:
    return np.asarray(np.flip(x, tuple(_axis(axis, x.ndim) for axis in _ints(axes))))


def _reduce(function: Any) -> Evaluate:
    def handle(operator: Operator, x: Array, axes: Array) -> Array:
        places = tuple({_axis(axis, x.ndim) for axis in _ints(axes)})
        keep = bool(operator.option("KeepDims"))
        return np.asarray(function(x, axis=places, keepdims=keep))

    return handle


def _cumulative(operator: Operator, x: Array, axis: Array) -> Array:
    place = _axis(_int(axis), x.ndim)
    back = slice(None, None, -1 if operator.option("Reverse") else 1)
    turned = np.moveaxis(x, place, 0)[back]
    sums = np.cumsum(turned, 0, dtype=x.dtype) - (turned if operator.option("Exclusive") else 0)
    return np.moveaxis(sums[back], 0, place)


def _range(_operator: Operator, start: Array, limit: Array, step: Array) -> Array:
    first, last, by = (array.reshape(-1)[0] for array in (start, limit, step))
    if not by:
        raise InputError("a range has no steps of 0")
    with np.errstate(all="ignore"):
        _room(int(min(max(float(last - first) / float(by), 0.0), 1e18)))
    return np.arange(first, last, by)


def _fill(_operator: Operator, sizes: Array, value: Array) -> Array:
    _room(*_ints(sizes))
    return np.full(_ints(sizes), value.reshape(-1)[0])


def _one_hot(operator: Operator, places: Array, depth: Array, on: Array, off: Array) -> Array:
    count, axis = _int(depth), operator.option("Axis")
    _room(places.size, count)
    axis = places.ndim if axis == -1 else axis
    chosen = np.expand_dims(places, axis) == np.arange(count).reshape(
        [-1 if a == axis else 1 for a in range(places.ndim + 1)]
    )
    return np.asarray(np.where(chosen, on.reshape(-1)[0], off.reshape(-1)[0]))


def _place(function: Any) -> Evaluate:
    return lambda _operator, x, axis: np.asarray(function(x, _axis(_int(axis), x.ndim)))


def _select(condition: Array, a: Array, b: Array) -> Array:
    if condition.ndim == 1 and a.ndim > 1:  # SELECT has one condition for each of the first axis
        condition = condition.reshape(-1, *[1] * (a.ndim - 1))
    return np.where(condition, a, b)


ELEMENTWISE: Mapping[str, Callable[..., Any]] = {
    "ABS": np.abs,
    "ADD": np.add,
    "CAST": lambda x: x,
    "CEIL": np.ceil,
    "COS": np.cos,
    "DIV": _quotient,
    "EQUAL": np.equal,
    "EXP": np.exp,
    "FLOOR": np.floor,
    "FLOOR_DIV": _floor_quotient,
    "FLOOR_MOD": _remainder,
    "GREATER": np.greater,
    "GREATER_EQUAL": np.greater_equal,
    "LESS": np.less,
    "LESS_EQUAL": np.less_equal,
    "LOG": np.log,
    "LOGICAL_AND": np.logical_and,
    "LOGICAL_NOT": np.logical_not,
    "LOGICAL_OR": np.logical_or,
    "MAXIMUM": np.maximum,
    "MINIMUM": np.minimum,
    "MUL": np.multiply,
    "NEG": np.negative,
    "NOT_EQUAL": np.not_equal,
    "POW": np.power,
    "ROUND": np.round,
    "RSQRT": lambda x: 1.0 / np.sqrt(x),
    "SELECT": _select,
    "SELECT_V2": np.where,
    "SIGN": np.sign,
    "SIN": np.sin,
    "SQRT": np.sqrt,
    "SQUARE": np.square,
    "SQUARED_DIFFERENCE": lambda a, b: np.square(a - b),
    "SUB": np.subtract,
    "ZEROS_LIKE": np.zeros_like,
}
"""Functions of single elements of each operand."""

MOVING: Mapping[str, Evaluate] = {
    "BROADCAST_TO": _broadcast,
    "CONCATENATION": _concatenate,
    "EXPAND_DIMS": _expand,
    "GATHER": _gather,
    "GATHER_ND": _gather_places,
    "MIRROR_PAD": _mirror,
    "PACK": _pack,
    "RESHAPE": _reshape,
    "REVERSE_V2": _reverse,
    "SLICE": _slice,
    "SPLIT": _split,
    "SPLIT_V": _split_sizes,
    "SQUEEZE": _squeeze,
    "STRIDED_SLICE": _strided,
    "TILE": _tile,
    "TRANSPOSE": _transpose,
    "UNPACK": _unpack,
}
"""What has elements of its operands and no others, be they codes or numbers."""

OTHERS: Mapping[str, Evaluate] = {
    "ARG_MAX": _place(np.argmax),
    "ARG_MIN": _place(np.argmin),
    "CUMSUM": _cumulative,
    "FILL": _fill,
    "MEAN": _reduce(np.mean),
    "ONE_HOT": _one_hot,
    "PAD": _pad,
    "PADV2": _pad,
    "RANGE": _range,
    "REDUCE_ALL": _reduce(np.all),
    "REDUCE_ANY": _reduce(np.any),
    "REDUCE_MAX": _reduce(np.max),
    "REDUCE_MIN": _reduce(np.min),
    "REDUCE_PROD": _reduce(np.prod),
    "SUM": _reduce(np.sum),
}
"""All others that constants go through."""
