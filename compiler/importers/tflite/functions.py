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
from pulsarray.compiler.numerics.rounding import scale_sums
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
    "LOGISTIC": _logistic,
    "TANH": lambda x: _exactly(np.tanh, x),
}


def _rsqrt(_operator: Operator, source: Affine8, target: Affine8) -> Ints:
    """RSQRT, in fixed point; what is not positive counts as so small that it saturates."""
    with np.errstate(all="ignore"):
        root = float(np.sqrt(np.float32(source.scale)))
    pair = ratio_pair(1.0 / (root * target.scale))
    made = [HIGH if code <= source.zero else _root(int(code) - source.zero, pair, target.zero)
            for code in _CODES]  # fmt: skip
    return np.array(made, np.int64)


def _root(value: int, pair: tuple[int, int], zero: int) -> int:
    multiplier, shift = inverse_root(value)
    data = scale_sums(1, multiplier, 31 + shift - _ROOT_SHIFT)
    scaled = scale_sums(data, pair[0], pair[1] + _ROOT_SHIFT)
    return int(np.clip(scaled + zero, LOW, HIGH))


FUNCTIONS: Mapping[str, Table] = {
    "GELU": _gelu,
    "LOGISTIC": _fixed(1 / 256, -128),
    "RSQRT": _rsqrt,
    "TANH": _fixed(1 / 128, 0),
}
