"""TensorFlow Lite's functions of one value as tables of 256 codes, as its kernels compute them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from math import erfc

import numpy as np
import numpy.typing as npt

from pulsarray.compiler.importers.tflite.file import Operator
from pulsarray.compiler.importers.tflite.network import Network, copying
from pulsarray.compiler.importers.tflite.scales import function_table, ratio_pair
from pulsarray.compiler.ir.formats import Affine8
from pulsarray.compiler.numerics.gemmlowp import inverse_root
from pulsarray.compiler.numerics.rounding import rounding_shift, scale_sums
from pulsarray.compiler.ops.integer import Elementwise
from pulsarray.compiler.ops.integer.codes import HIGH, LOW
from pulsarray.errors import InputError

__all__ = ["FUNCTIONS", "function"]

Ints = npt.NDArray[np.int64]
Table = Callable[[Operator, Affine8, Affine8], Ints]
_ROOT_SHIFT = 20
_CODES = np.arange(LOW, HIGH + 1)


def function(network: Network, operator: Operator) -> None:
    """A function of single codes, by table."""
    value = network.plain(operator)
    target = network.alike(operator, value)
    table = FUNCTIONS[operator.kind](operator, value.source.codes, target.codes)
    scale = replace(copying(value.source.codes.zero), table=table)
    network.add(operator, Elementwise(scale), [value.source], target, value.shape)


def _fixed(scale: float, zero: int) -> Callable[[Operator, Affine8, Affine8], Ints]:
    """LOGISTIC, TANH: kernels have one quantization for results."""

    def table(operator: Operator, source: Affine8, target: Affine8) -> Ints:
        made = target.scale, target.zero
        if made != (scale, zero):
            raise InputError(f"result must have scale and zero point {(scale, zero)}, not {made}")
        return function_table(_REAL[operator.kind], source, target)

    return table


def _real(operator: Operator, source: Affine8, target: Affine8) -> Ints:
    return function_table(_REAL[operator.kind], source, target)


def _gelu(operator: Operator, source: Affine8, target: Affine8) -> Ints:
    return function_table(_gelu_fast if operator.option("Approximate") else _gelu_exact,
                          source, target)  # fmt: skip


Floats = npt.NDArray[np.float32]
_ONE, _HALF = np.float32(1.0), np.float32(0.5)


def _logistic(x: Floats) -> Floats:
    return np.asarray(_ONE / (_ONE + _exactly(np.exp, -x)), np.float32)


def _gelu_exact(x: Floats) -> Floats:
    root = np.float32(-(2.0**-0.5))
    return np.asarray(_HALF * x * _exactly(np.vectorize(erfc), x * root), np.float32)


def _gelu_fast(x: Floats) -> Floats:
    factor = np.float32(np.sqrt(2.0 / np.pi))
    inner = factor * (x + np.float32(0.044715) * x * x * x)
    return np.asarray(_HALF * x * (_ONE + _exactly(np.tanh, inner)), np.float32)


def _exactly(real: Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]],
             x: Floats) -> Floats:  # fmt: skip
    """A function of the C library in float32, whose results are all but the nearest."""
    return real(x.astype(np.float64)).astype(np.float32)


_REAL: Mapping[str, Callable[[Floats], Floats]] = {
    "EXP": lambda x: _exactly(np.exp, x),
    "LOGISTIC": _logistic,
    "TANH": lambda x: _exactly(np.tanh, x),
}


def _rsqrt(_operator: Operator, source: Affine8, target: Affine8) -> Ints:
    """RSQRT, in fixed point; what is not positive counts as so small that it saturates."""
    with np.errstate(all="ignore"):
        root = float(np.sqrt(np.float32(source.scale)))
    pair = ratio_pair(1.0 / (root * target.scale))
    values = _CODES - source.zero
    multiplier, shift = inverse_root(np.maximum(values, 1))
    data = scale_sums(1, multiplier, 31 + shift - _ROOT_SHIFT)
    scaled = scale_sums(data, pair[0], pair[1] + _ROOT_SHIFT)
    return _limited(np.where(values <= 0, HIGH, scaled + target.zero))


def _limited(codes: npt.ArrayLike) -> Ints:
    return np.asarray(np.clip(codes, LOW, HIGH), np.int64)


def _leaky(operator: Operator, source: Affine8, target: Affine8) -> Ints:
    """LEAKY_RELU: another multiplier below zero."""
    with np.errstate(all="ignore"):
        ratio = np.float32(source.scale) / np.float32(target.scale)
        slope = np.float32(operator.options.get("Alpha", 0.0))
        slope = np.float32(source.scale) * slope / np.float32(target.scale)
    values = _CODES - source.zero
    above = scale_sums(values, *ratio_pair(float(ratio)))
    below = scale_sums(values, *ratio_pair(abs(float(slope))))
    if slope < 0.0:  # The product with a negative multiplier is that of a negative value.
        below = scale_sums(-values, *ratio_pair(abs(float(slope))))
    return _limited(np.where(values >= 0, above, below) + target.zero)


def _absolute(_operator: Operator, source: Affine8, target: Affine8) -> Ints:
    """ABS."""
    values = np.abs(_CODES - source.zero)
    if source.scale != target.scale:
        with np.errstate(all="ignore"):
            ratio = np.float32(source.scale) / np.float32(target.scale)
        values = scale_sums(values, *ratio_pair(float(ratio)))
    return _limited(values + target.zero)


def _logarithm(_operator: Operator, source: Affine8, target: Affine8) -> Ints:
    """LOG: the least result of what has none."""
    least = np.float32(LOW - target.zero) * np.float32(target.scale)

    def real(x: Floats) -> Floats:
        with np.errstate(all="ignore"):
            return np.where(x <= 0, least, _exactly(np.log, x))

    return function_table(real, source, target)


def _root_of(_operator: Operator, source: Affine8, target: Affine8) -> Ints:
    """SQRT, rounded towards zero; of what is negative LiteRT has no result."""
    with np.errstate(all="ignore"):
        values = np.float32(source.scale) * (_CODES - source.zero).astype(np.float32)
        scaled = np.sqrt(np.maximum(values, np.float32(0.0))) / np.float32(target.scale)
    return _limited(np.trunc(np.minimum(scaled, 1e6)).astype(np.int64) + target.zero)


def _hard_swish(_operator: Operator, source: Affine8, target: Affine8) -> Ints:
    """HARD_SWISH in fixed point of 16 bits."""
    with np.errstate(all="ignore"):
        fine = np.float32(1.0 / 128.0) * np.float32(source.scale)
        ratio, step = fine / np.float32(target.scale), np.float32(3.0) / np.float32(32768.0)
        pairs = [_sixteen(float(ratio)), _sixteen(float(fine / step))]
    (factor, exponent), (slope, more) = pairs
    if exponent > 0:
        raise InputError(f"a result with a scale of {target.scale} is too fine for the kernel")
    values = (_CODES - source.zero) << 7
    limited = _high16(_left16(values, more - 1) if more > 0 else values, slope)
    limited = _left16(limited, 1) if more > 0 else rounding_shift(limited, -more)
    limited = (limited + (1 << 15)) >> 1
    product = limited * _high16(values, factor)
    whole = np.sign(product) * (np.abs(product) >> 15)
    return _limited(rounding_shift(whole, -exponent) + target.zero)


def _sixteen(ratio: float) -> tuple[int, int]:
    """Multiplier of 15 bits, and exponent, of a ratio."""
    multiplier, shift = ratio_pair(ratio)
    return min((multiplier + (1 << 15)) >> 16, (1 << 15) - 1), 31 - shift


def _high16(values: Ints, factor: int) -> Ints:
    """SaturatingRoundingDoublingHighMul of 16 bits."""
    return np.asarray((values * factor + (1 << 14)) >> 15, np.int64)


def _left16(values: Ints, bits: int) -> Ints:
    return np.asarray(np.clip(values << bits, -(1 << 15), (1 << 15) - 1), np.int64)


FUNCTIONS: Mapping[str, Table] = {
    "ABS": _absolute,
    "EXP": _real,
    "GELU": _gelu,
    "HARD_SWISH": _hard_swish,
    "LEAKY_RELU": _leaky,
    "LOG": _logarithm,
    "LOGISTIC": _fixed(1 / 256, -128),
    "RSQRT": _rsqrt,
    "SQRT": _root_of,
    "TANH": _fixed(1 / 128, 0),
}
