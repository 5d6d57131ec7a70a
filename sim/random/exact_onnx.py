"""A quantized ONNX graph in exact arithmetic, and how far float32 may be from it.

Between roundings everything is computed in float64 from codes, by the onnx package's reference
operators; beside each value goes a bound of what float32 arithmetic, in any order of summation, can
be off. So each QuantizeLinear can be judged by itself: a code is right if the real value lies
within its half step, and it is explained by float32 if it lies outside by less than the bound.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper
from onnx.reference import ReferenceEvaluator

__all__ = ["ExactGraph", "Judgement", "Value"]

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]

ULP = 2.0**-24
"""Relative error of one operation in float32."""
_CURVE = 2.0**-20
"""Absolute error of sigmoid, tanh and softmax in float32, as libraries approximate them."""
_LIMITS = {"int8": (-128, 127), "uint8": (0, 255)}
_PRODUCTS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_SUMS = (*_PRODUCTS, "AveragePool", "GlobalAveragePool", "ReduceMean")


@dataclass
class Judgement:
    """How codes compare with the real values that they stand for.

    Members
    -------
    codes
        How many were judged.
    beside
        How many are not the nearest code: the real value is beyond their half step, by less than
        float32 can be off.
    farthest
        By how much at most, in codes.
    wrong
        What cannot be explained so: a text each.
    """

    codes: int = 0
    beside: int = 0
    farthest: float = 0.0
    wrong: list[str] = field(default_factory=list)

    def add(self, name: str, codes: Array, real: Floats, bound: Floats, limits: Array) -> None:
        """Judge codes against real values in units of codes."""
        beyond = np.abs(codes - np.clip(real, *limits)) - 0.5
        self.codes += codes.size
        # What float64 itself cannot tell apart is a half.
        self.beside += int((beyond > 1e-9).sum())
        self.farthest = max(self.farthest, float(beyond.max()))
        if (beyond > bound).any():
            place = np.unravel_index(int(np.argmax(beyond - bound)), beyond.shape)
            self.wrong.append(
                f"{name}: {int((beyond > bound).sum())} of {codes.size} codes, e.g. {codes[place]} "
                f"for {real[place]:.7f}, float32 being off by {bound[place]:.2g} at most"
            )


@dataclass(frozen=True)
class Value:
    """Real values, and how far float32 may be from them."""

    real: Floats
    error: Floats

    @classmethod
    def known(cls, values: Array) -> Value:
        """Values without an error."""
        real = np.asarray(values, np.float64)
        return cls(real, np.zeros_like(real))


class ExactGraph:
    """A graph that can be run operator by operator while it is made.

    Members
    -------
    constants
        Constants by name.
    """

    def __init__(self) -> None:
        self.constants: dict[str, Array] = {}

    def run(
        self,
        nodes: list[onnx.NodeProto],
        inputs: Mapping[str, Array],
        codes: Mapping[str, Array] | None = None,
    ) -> tuple[dict[str, Floats], Judgement]:
        """Real values of every result, from real values of the inputs.

        ``codes`` are what QuantizeLinears are known to give, by name of their result: they are
        judged, and what follows is computed from them.
        """
        values = {name: Value.known(value) for name, value in inputs.items()}
        judgement = Judgement()
        for node in nodes:
            self.step(node, values, codes or {}, judgement)
        return {name: value.real for name, value in values.items()}, judgement

    def step(
        self,
        node: onnx.NodeProto,
        values: dict[str, Value],
        codes: Mapping[str, Array],
        judgement: Judgement,
    ) -> None:
        """Compute one operator."""
        output = node.output[0]
        if all(name in self.constants for name in node.input):
            self.constants[output] = self._constant(node)
        elif node.op_type == "QuantizeLinear":
            values[output] = self._quantize(node, values[node.input[0]], codes, judgement)
        elif node.op_type == "DequantizeLinear":
            scale, zero = self._scale(node)
            real = (values[node.input[0]].real - zero) * scale
            values[output] = Value(real, ULP * np.abs(real))
        else:
            values[output] = self._operate(node, values)

    def _scale(self, node: onnx.NodeProto) -> tuple[float, int]:
        scale, zero = (self.constants[name] for name in node.input[1:3])
        return float(scale.item()), int(zero.item())

    def _quantize(
        self,
        node: onnx.NodeProto,
        source: Value,
        codes: Mapping[str, Array],
        judgement: Judgement,
    ) -> Value:
        scale, zero = self._scale(node)
        limits = np.array(_LIMITS[str(self.constants[node.input[2]].dtype)])
        real = source.real / scale + zero
        known = codes.get(node.output[0])
        if known is None:
            known = np.clip(np.rint(source.real / scale) + zero, *limits)
        else:
            bound = source.error / scale + 2 * ULP * np.abs(source.real / scale)
            judgement.add(node.output[0], known, real, bound, limits)
        return Value.known(known)

    def _constant(self, node: onnx.NodeProto) -> Array:
        """A result that depends on constants alone."""
        inputs = [self.constants[name] for name in node.input]
        if node.op_type != "DequantizeLinear":
            return np.asarray(_run(node, inputs))
        codes, scale, zero = inputs
        if scale.size > 1:
            shape = [1] * codes.ndim
            shape[int(attribute(node, "axis", 1))] = -1
            scale, zero = scale.reshape(shape), zero.reshape(shape)
        return np.asarray((codes.astype(np.float64) - zero) * scale.astype(np.float64))

    def _operate(self, node: onnx.NodeProto, values: Mapping[str, Value]) -> Value:
        operands = [values.get(name) or self._known(name) for name in node.input]
        reals, errors = [value.real for value in operands], [value.error for value in operands]
        real = _run(node, reals)
        return Value(real, self._error(node, reals, errors, real))

    def _known(self, name: str) -> Value:
        """A constant: real numbers in float64, others (shapes) as they are on both sides."""
        value = self.constants[name]
        return Value.known(value) if value.dtype.kind == "f" else Value(value, value)

    def _error(
        self, node: onnx.NodeProto, reals: list[Array], errors: list[Array], real: Floats
    ) -> Floats:
        """Bound of the error of a result in float32."""
        sizes = [np.abs(value) if value.dtype.kind == "f" else value for value in reals]
        if (kind := node.op_type) in _SUMS:
            return _error_of_sums(node, sizes, errors, real)
        if kind == "BatchNormalization":
            return _error_of_norm(node, reals, errors, real)
        if kind in _ELEMENTS:
            return np.asarray(_ELEMENTS[kind](*sizes, *errors) + 2 * ULP * np.abs(real))
        if kind in ("Sigmoid", "Tanh", "Softmax"):
            return np.full(real.shape, errors[0].max() + _CURVE)
        if kind in ("MaxPool", "Clip", "Relu", "Pad"):
            return np.full(real.shape, errors[0].max())
        return np.asarray(_run(node, errors))


_ELEMENTS: Mapping[str, Callable[..., Floats]] = {
    "Add": lambda a, b, e, f: e + f + ULP * (a + b),
    "Sub": lambda a, b, e, f: e + f + ULP * (a + b),
    "Mul": lambda a, b, e, f: e * b + f * a,
    "Div": lambda a, b, e, f: (e + a * f / b) / b,
}
"""Errors of results from sizes and errors of both operands, without the rounding of the result."""


def _error_of_sums(
    node: onnx.NodeProto, sizes: list[Array], errors: list[Array], real: Floats
) -> Floats:
    """Each of a sum's operations rounds a part of it, which is no larger than the sum of sizes."""
    count = sizes[0][0].size
    if node.op_type in _PRODUCTS:
        count = sizes[1].size // (real.shape[1] if real.ndim > 1 else 1)
    arguments = [errors[0], *sizes[1:2], *(np.zeros_like(bias) for bias in sizes[2:])]
    return np.asarray(_run(node, arguments) + (count + 4) * ULP * _run(node, sizes))


def _error_of_norm(
    node: onnx.NodeProto, reals: list[Array], errors: list[Array], real: Floats
) -> Floats:
    scale, shift, mean, variance = (along(value, real.ndim) for value in reals[1:])
    factor = np.abs(scale) / np.sqrt(variance + attribute(node, "epsilon", 1e-5))
    size = factor * (np.abs(reals[0]) + np.abs(mean)) + np.abs(shift)
    return np.asarray(factor * errors[0] + 8 * ULP * size)


def along(values: Array, rank: int) -> Array:
    """One number a channel, for arrays (N, C, ...)."""
    return values.reshape(-1, *(1,) * (rank - 2))


def attribute(node: onnx.NodeProto, name: str, default: float) -> float:
    """A number among a node's attributes."""
    for entry in node.attribute:
        if entry.name == name:
            return float(helper.get_attribute_value(entry))
    return default


def _run(node: onnx.NodeProto, inputs: list[Array]) -> Any:
    """One operator by itself, on arrays of whatever precision."""
    if node.op_type in ("AveragePool", "MaxPool"):
        return _pool(node, inputs[0])
    if node.op_type == "ReduceMean":
        return inputs[0].mean(axis=(2, 3), keepdims=True)
    evaluator = ReferenceEvaluator(node)
    results = evaluator.run(None, dict(zip(map(str, node.input), inputs, strict=True)))
    return next(iter(results))


def _pool(node: onnx.NodeProto, values: Floats) -> Floats:
    """Windows of rows and columns; what is outside counts as zero, or not at all."""
    attributes = {str(a.name): helper.get_attribute_value(a) for a in node.attribute}
    top, left, bottom, right = attributes.get("pads", (0, 0, 0, 0))
    outside = 0.0 if attributes.get("count_include_pad") else np.nan
    border = ((0, 0), (0, 0), (top, bottom), (left, right))
    padded = np.pad(values, border, constant_values=outside)
    windows = np.lib.stride_tricks.sliding_window_view(padded, attributes["kernel_shape"], (2, 3))
    rows, columns = attributes.get("strides", (1, 1))
    seen = windows[:, :, ::rows, ::columns]
    function = np.nanmax if node.op_type == "MaxPool" else np.nanmean
    return np.asarray(function(seen, axis=(4, 5)))
