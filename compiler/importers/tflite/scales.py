"""Multipliers, limits and tables of TensorFlow Lite's operators, as its kernels prepare them."""

from __future__ import annotations

from collections.abc import Callable
from math import floor, isfinite

import numpy as np
import numpy.typing as npt

from pulsarray.compiler.importers.tflite.file import Operator, Tensor
from pulsarray.compiler.ir.formats import Affine8
from pulsarray.compiler.numerics.fixed_point import quantize_multiplier
from pulsarray.compiler.numerics.rounding import requantize
from pulsarray.compiler.ops.integer.codes import HIGH, LOW
from pulsarray.compiler.ops.integer.scale import Scale
from pulsarray.errors import InputError

__all__ = [
    "activation_limits",
    "away_scale",
    "channel_ratios",
    "check_sums",
    "code_of",
    "function_table",
    "ratio_pair",
    "tflite_scale",
    "weight_scales",
]

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
_NONE, _RELU, _RELU_N1_TO_1, _RELU6 = 0, 1, 2, 3
_REACH = 1 << 31
_STEPS = 256  # between the codes -128 .. 127 and any zero point


def activation_limits(operator: Operator, target: Affine8) -> tuple[int, int]:
    """Limits of codes from the fused activation.

    Raises
    ------
    InputError
        If the activation is not supported.
    """
    kind = operator.option("FusedActivationFunction")
    if kind == _NONE:
        return LOW, HIGH
    if kind not in (_RELU, _RELU_N1_TO_1, _RELU6):
        raise InputError(f"fused activation {kind} is not supported (NONE, RELU, RELU6, N1_TO_1)")
    low = code_of(-1.0 if kind == _RELU_N1_TO_1 else 0.0, target)
    high = HIGH if kind == _RELU else code_of(1.0 if kind == _RELU_N1_TO_1 else 6.0, target)
    if low > high:
        raise InputError(f"no code of {target.scale} from {target.zero} is in its range")
    return low, high


def code_of(value: float, target: Affine8) -> int:
    """A real number as a code, computed in float32, half way rounded away from zero, saturated."""
    with np.errstate(all="ignore"):
        quotient = float(np.float32(value) / np.float32(target.scale))
    bounded = min(max(quotient, -1e6), 1e6)
    rounded = floor(abs(bounded) + 0.5) * (1 if bounded >= 0.0 else -1)
    return min(max(rounded + target.zero, LOW), HIGH)


def weight_scales(weight: Tensor, count: int, axis: int) -> npt.NDArray[np.float64]:
    """Scales of a weight, one, or one of each of its channels along an axis.

    Raises
    ------
    InputError
        If there are others, one is not positive, or a zero point is not 0.
    """
    scales = weight.scales
    if len(scales) not in (1, count) or (len(scales) > 1 and weight.axis != axis):
        raise InputError(
            f"weight {weight.short!r} needs one scale, or {count} along axis {axis}, not "
            f"{len(scales)} along axis {weight.axis}"
        )
    if not np.isfinite(scales).all() or float(scales.min()) <= 0.0:
        raise InputError(f"weight {weight.short!r} needs positive scales")
    if weight.zeros.any():
        raise InputError(f"weight {weight.short!r} needs zero points of 0")
    return scales.astype(np.float64)


def channel_ratios(
    source: Affine8, weights: npt.NDArray[np.float64], target: Affine8
) -> list[float]:
    """Ratios from sums of products to codes, as convolutions compute them."""
    return [source.scale * weight / target.scale for weight in weights.tolist()]


def tflite_scale(ratios: list[float], target: Affine8, limits: tuple[int, int]) -> Scale:
    """The scale of an operator from the ratios of its channels, with TensorFlow Lite's rounding.

    Raises
    ------
    InputError
        If a ratio is too large for it.
    """
    pairs = [ratio_pair(ratio) for ratio in ratios]
    multipliers, shifts = (np.array(part, np.int64) for part in zip(*pairs, strict=True))
    return Scale(multipliers, shifts, target.zero, *limits, tflite=True)


def away_scale(ratios: list[float], target: Affine8, limits: tuple[int, int]) -> Scale:
    """The scale that rounds half to even to what FULLY_CONNECTED rounds in float64.

    Its kernel computes ``round(sum * ratio)``, half way away from zero. Both that and an integer
    multiplier make steps at some sums; a multiplier a hair larger than the ratio makes the same.

    Raises
    ------
    InputError
        If a ratio is too large, or no multiplier near it makes the same steps.
    """
    pairs = [_away_pair(ratio) for ratio in ratios]
    multipliers, shifts = (np.array(part, np.int64) for part in zip(*pairs, strict=True))
    return Scale(multipliers, shifts, target.zero, *limits)


def _away_pair(ratio: float) -> tuple[int, int]:
    multiplier, shift = ratio_pair(ratio)
    if not multiplier:
        return multiplier, shift
    # Whatever differs does so at a sum next to a step between two codes.
    steps = np.floor((np.arange(_STEPS) + 0.5) / ratio)
    sums = np.unique(np.add.outer(np.arange(-1, 3), steps).clip(0, _REACH - 1)).astype(np.int64)
    wanted = np.floor(sums * ratio + 0.5)
    inside = wanted <= _STEPS
    exact = floor(ratio * 2.0**shift)
    for candidate in (exact + 1, exact, exact + 2, exact - 1):
        rounded = requantize(sums, candidate, shift)
        if candidate < _REACH and np.array_equal(rounded[inside], wanted[inside]):
            return candidate, shift
    raise InputError(f"no multiplier rounds as the kernel does with a ratio of {ratio}")


def ratio_pair(ratio: float) -> tuple[int, int]:
    """Multiplier and shift of a ratio of scales.

    Raises
    ------
    InputError
        If it is too large.
    """
    if not isfinite(ratio) or ratio >= _REACH:
        raise InputError(f"scales have an impossible ratio of {ratio}")
    return quantize_multiplier(ratio)


def check_sums(reach: Ints, scale: Scale) -> None:
    """Refuse sums that may leave 32 bits, for which the kernels' results are undefined.

    Raises
    ------
    InputError
        If one of a channel may be so large; ``reach`` is each channel's largest magnitude.
    """
    room = (_REACH - 1) >> np.maximum(31 - scale.shift, 0)
    if (reach > room).any():
        raise InputError("scaled sums may exceed 32 bits, for which TensorFlow Lite has no result")


def function_table(function: Callable[[Floats], Floats], source: Affine8, target: Affine8) -> Ints:
    """Codes of a function of all codes, in float32 as the kernels fill their tables."""
    with np.errstate(all="ignore"):
        inverse = np.float32(1.0) / np.float32(target.scale)
        codes = np.arange(LOW - source.zero, HIGH + 1 - source.zero)
        results = function(np.float32(source.scale) * codes.astype(np.float32))
        scaled = np.clip((results * inverse).astype(np.float64), -1e6, 1e6)
    rounded = np.floor(np.abs(scaled) + 0.5) * np.sign(scaled)  # half way away from zero
    return np.asarray(np.clip(rounded + target.zero, LOW, HIGH), np.int64)
