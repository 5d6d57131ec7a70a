"""ONNX operators that are made of others, each as the standard defines it.

Truth values are 0 and 1. What is compared is first subtracted: in int8 two values are equal that
differ by less than half a code of their difference.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import Any, Protocol

import numpy as np

from pulsarray.compiler.importers.onnx.file import Call, Constant
from pulsarray.compiler.importers.onnx.orders import Shape
from pulsarray.errors import InputError

__all__ = ["COMPOSED", "Compose", "Make", "greater_or_equal", "needed"]

_TINY = 1e-12
"""A norm at least: zeros stay zeros."""
_MOST_FACTORS = 64
"""Factors of a product along an axis: each step of it rounds."""


class Make(Protocol):
    """Puts ONNX's operators in the place of one, whose attributes and operands it knows."""

    call: Call
    part: str
    """Stands in the names of what comes next, if it is not empty."""

    def __call__(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Name of an operator's result."""

    def constant(self, values: Any) -> str:
        """Name of a constant, float32 where it is no array."""

    def known(self, name: str) -> Constant | None:
        """A value that is known at compile time; None if it depends on the input."""

    def shape(self, name: str) -> Shape:
        """Shape of a sample, or of a constant."""

    def batch_axis(self, name: str) -> int:
        """The axis of the batch."""

    def with_batch(self, name: str, axis: int) -> str:
        """Name of the same value with its batch as that axis, where it is one of one sample."""

    def ask_for_channels(self, name: str) -> None:
        """Have an input of the network with its last axis as channels."""

    def is_read(self, name: str) -> bool:
        """Whether a result of the operator is read, or a result of the file."""


Compose = Callable[..., str | tuple[str, ...]]
"""From :class:`Make` and the names of operands to the name of the result, or of several."""


def _not(make: Make, x: str) -> str:
    return make("Sub", make.constant(1.0), x)


def _and(make: Make, a: str, b: str) -> str:
    return make("Mul", a, b)


def _or(make: Make, a: str, b: str) -> str:
    return make("Max", a, b)


def _xor(make: Make, a: str, b: str) -> str:
    return make("Abs", make("Sub", a, b))


def _greater(make: Make, a: str, b: str) -> str:
    return make("Relu", make("Sign", make("Sub", a, b)))


def _less(make: Make, a: str, b: str) -> str:
    return _greater(make, b, a)


def greater_or_equal(make: Make, a: str, b: str) -> str:
    """1 where a value is at least another, else 0."""
    return _not(make, _greater(make, b, a))


def _less_or_equal(make: Make, a: str, b: str) -> str:
    return _not(make, _greater(make, a, b))


def _equal(make: Make, a: str, b: str) -> str:
    return _not(make, make("Abs", make("Sign", make("Sub", a, b))))


def _where(make: Make, condition: str, a: str, b: str) -> str:
    """One of two values; a constant condition rounds nothing."""
    known = make.known(condition)
    if known is None:
        return make("Add", make("Mul", make("Sub", a, b), condition), b)
    chosen, other = make.constant(known.astype(np.float32)), make.constant(1.0 - known)
    return make("Add", make("Mul", a, chosen), make("Mul", b, other))


def _mean(make: Make, *values: str) -> str:
    return make("Mul", make("Sum", *values), make.constant(1.0 / len(values)))


def _swish(make: Make, x: str) -> str:
    alpha = make.constant(make.call.number("alpha", 1.0))
    scaled = x if make.known(alpha) == 1.0 else make("Mul", x, alpha)
    return make("Mul", x, make("Sigmoid", scaled))


def _instance_normalization(make: Make, x: str, scale: str, bias: str) -> str:
    """Mean 0 and variance 1 of each channel of a sample."""
    rank = len(make.shape(x)) + 1
    axes, shape = [*range(2, rank)], (-1, *[1] * (rank - 2))
    centred = make("Sub", x, make("ReduceMean", x, axes=axes, keepdims=1))
    variance = make("ReduceMean", make("Mul", centred, centred), axes=axes, keepdims=1)
    epsilon = make.constant(make.call.number("epsilon", 1e-5))
    normal = make("Div", centred, make("Sqrt", make("Add", variance, epsilon)))
    learned = [needed(make, name, "scale and bias").reshape(shape) for name in (scale, bias)]
    factor, offset = map(make.constant, learned)
    return make("Add", make("Mul", normal, factor), offset)


def _lp_normalization(make: Make, x: str) -> str:
    """Elements divided by their norm along an axis."""
    axis, power = make.call.integer("axis", -1), make.call.integer("p", 2)
    if power not in (1, 2):
        raise InputError(f"{make.call.where}: p must be 1 or 2, not {power}")
    norm = make(f"ReduceL{power}", x, axes=[axis], keepdims=1)
    return make("Div", x, make("Clip", norm, make.constant(_TINY)))


def _lp_pool(make: Make, x: str) -> str:
    """The root of the sum of powers of each window: of their mean, padding included."""
    call = make.call
    power, kernel = call.integer("p", 2), call.integers("kernel_shape") or ()
    attributes = {name: value for name, value in call.attributes.items() if name != "p"}
    mean = make("AveragePool", _power(make, x, power), count_include_pad=1, **attributes)
    return _root(make, make("Mul", mean, make.constant(float(prod(kernel)))), power)


def _global_lp_pool(make: Make, x: str) -> str:
    power, count = make.call.integer("p", 2), prod(make.shape(x)[1:])
    mean = make("GlobalAveragePool", _power(make, x, power))
    return _root(make, make("Mul", mean, make.constant(float(count))), power)


def _power(make: Make, x: str, power: int) -> str:
    """Magnitudes to a power."""
    if power < 1:
        raise InputError(f"{make.call.where}: p must be at least 1, not {power}")
    magnitude = x if power == 2 else make("Abs", x)
    return magnitude if power == 1 else make("Pow", magnitude, make.constant(float(power)))


def _root(make: Make, x: str, power: int) -> str:
    return x if power == 1 else make("Pow", x, make.constant(1.0 / power))


def _hardmax(make: Make, x: str) -> str:
    """1 at the first of the largest along an axis, else 0."""
    axis = make.call.integer("axis", -1)
    below = make("Sub", make("ReduceMax", x, axes=[axis], keepdims=1), x)
    largest = _not(make, make("Sign", below))
    before = make("CumSum", largest, make.constant(np.array(axis)), exclusive=1)
    return make("Mul", largest, _not(make, make("Sign", before)))


def _reduce_prod(make: Make, x: str, axes: str = "") -> str:
    """Products along axes: of both halves, and so on."""
    places = make.call.integers("axes")
    if axes:
        places = tuple(int(axis) for axis in needed(make, axes, "axes").reshape(-1))
    rank = len(make.shape(x)) + 1
    if not places and make.call.integer("noop_with_empty_axes", 0):
        return make("Identity", x)
    for axis in places or range(rank):
        x = _product_along(make, x, axis % rank if rank else 0)
    if make.call.integer("keepdims", 1):
        return x
    return make("Squeeze", x, make.constant(np.array(places or range(rank))))


def _product_along(make: Make, x: str, axis: int) -> str:
    if not axis:
        raise InputError(
            f"{make.call.where}: {make.call.kind} along axis 0 would mix the samples of a batch"
        )
    while (count := make.shape(x)[axis - 1]) > 1:
        if count > _MOST_FACTORS:
            raise InputError(
                f"{make.call.where}: {make.call.kind} of {count} factors is not possible, only of "
                f"up to {_MOST_FACTORS}"
            )
        half = count // 2
        parts = [_sliced(make, x, axis, start, start + half) for start in (0, half)]
        product = make("Mul", *parts)
        if count % 2:
            product = make("Concat", product, _sliced(make, x, axis, 2 * half, count), axis=axis)
        x = product
    return x


def _sliced(make: Make, x: str, axis: int, start: int, end: int) -> str:
    lists = [make.constant(np.array([number])) for number in (start, end, axis)]
    return make("Slice", x, *lists)


def _cumulative_product(make: Make, x: str, axis: str) -> str:
    """Products of each element and all before it: of 2, of 4, of 8 and so on."""
    rank = len(make.shape(x)) + 1
    place = int(needed(make, axis, "axis").reshape(-1)[0]) % rank
    back = bool(make.call.integer("reverse", 0))
    if make.call.integer("exclusive", 0):
        x = _shifted(make, x, place, 1, back)
    step = 1
    while place and step < make.shape(x)[place - 1]:
        x = make("Mul", x, _shifted(make, x, place, step, back))
        step *= 2
    return x if place else _product_along(make, x, 0)


def _shifted(make: Make, x: str, axis: int, step: int, back: bool) -> str:
    """Elements moved along an axis, with 1 where there is none."""
    count, pads = make.shape(x)[axis - 1], np.zeros((2, len(make.shape(x)) + 1), np.int64)
    pads[int(back), axis] = step
    kept = _sliced(make, x, axis, step * back, count - step * (not back))
    return make("Pad", kept, make.constant(pads.reshape(-1)), make.constant(1.0))


def needed(make: Make, name: str, what: str) -> Constant:
    """A constant.

    Raises
    ------
    InputError
        If the value depends on the input.
    """
    known = make.known(name)
    if known is None:
        raise InputError(f"{make.call.where}: {what} {name!r} must be a constant")
    return known


def _stft(make: Make, signal: str, step: str, window: str = "", length: str = "") -> str:
    """Fourier transforms of frames (N, frames, bins, 2): a convolution with cosines and sines."""
    shape, call = make.shape(signal), make.call
    if len(shape) == 2 and shape[1] != 1:
        raise InputError(f"{call.where}: the signal must be real, not (N, {shape[0]}, {shape[1]})")
    size = shape[0]
    weights = needed(make, window, "window").reshape(-1) if window else None
    frame = int(needed(make, length, "frame_length").item()) if length else size
    if weights is None:
        weights = np.ones(frame)
    stride = int(needed(make, step, "frame_step").item())
    if len(weights) != frame and not length:
        frame = len(weights)
    if len(weights) != frame or not 0 < frame <= size or stride < 1:
        raise InputError(
            f"{call.where}: a window of {len(weights)} elements, frame_length {frame} and "
            f"frame_step {stride} do not fit a signal of {size}"
        )
    bins = frame // 2 + 1 if call.integer("onesided", 1) else frame
    turns = np.outer(np.arange(bins), np.arange(frame)) % frame * (2.0 * np.pi / frame)
    kernel = np.concatenate([np.cos(turns), -np.sin(turns)]) * weights
    samples = make("Reshape", signal, make.constant(np.array([-1, 1, size])))
    filters = make.constant(kernel[:, None].astype(np.float32))
    made = make("Conv", samples, filters, strides=[stride], kernel_shape=[frame])
    parts = make("Reshape", made, make.constant(np.array([0, 2, bins, -1])))
    return make("Transpose", parts, perm=[0, 3, 2, 1])


COMPOSED: Mapping[str, Compose] = {
    "And": _and,
    "CumProd": _cumulative_product,
    "Equal": _equal,
    "GlobalLpPool": _global_lp_pool,
    "Greater": _greater,
    "GreaterOrEqual": greater_or_equal,
    "Hardmax": _hardmax,
    "InstanceNormalization": _instance_normalization,
    "Less": _less,
    "LessOrEqual": _less_or_equal,
    "LpNormalization": _lp_normalization,
    "LpPool": _lp_pool,
    "Mean": _mean,
    "Not": _not,
    "Or": _or,
    "ReduceProd": _reduce_prod,
    "STFT": _stft,
    "Swish": _swish,
    "Where": _where,
    "Xor": _xor,
}
"""What each is made of."""
