"""QONNX: numbers of few bits as Brevitas, QKeras and FINN write them, made of ONNX's operators.

Pappalardo et al., QONNX: Representing Arbitrary-Precision Quantized Neural Networks (2022).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pulsarray.compiler.importers.onnx.composed import Compose, Make, greater_or_equal, needed
from pulsarray.compiler.importers.onnx.names import QONNX
from pulsarray.errors import InputError

__all__ = ["QUANTIZERS"]

_ROUNDINGS = {"ROUND": "Round", "FLOOR": "Floor", "CEIL": "Ceil"}
"""Ways of rounding, and ONNX's operators that do it."""
_MOST_STEPS = 63
"""Uneven thresholds of a channel: each is four operators."""
_EVEN = 1e-5
"""Thresholds are even that differ from even ones by this part of their distance."""


def _rounding(make: Make, default: str) -> str:
    mode = make.call.text("rounding_mode", default).upper()
    if mode not in _ROUNDINGS:
        raise InputError(
            f"{make.call.where}: rounding_mode {mode!r} is unknown; one of {', '.join(_ROUNDINGS)}"
        )
    return _ROUNDINGS[mode]


def _limited(make: Make, codes: str, bits: float) -> str:
    """Codes within what so many bits hold."""
    signed, narrow = (bool(make.call.integer(*pair)) for pair in (("signed", 1), ("narrow", 0)))
    high = 2.0 ** (bits - signed) - 1.0
    low = (narrow - high - 1.0) if signed else 0.0
    high -= 0.0 if signed else float(narrow)
    return make("Clip", codes, make.constant(low), make.constant(high))


def _quant(make: Make, x: str, scale: str, zero: str, bits: str) -> str:
    """Values rounded to integers of so many bits, times a scale."""
    rounding, width = _rounding(make, "ROUND"), float(needed(make, bits, "bits").item())
    codes = make(rounding, make("Add", make("Div", x, scale), zero))
    return make("Mul", make("Sub", _limited(make, codes, width), zero), scale)


def _bipolar(make: Make, x: str, scale: str) -> str:
    """A scale with the sign of a value, that of 0 positive."""
    step = greater_or_equal(make, x, make.constant(0.0))
    sign = make("Sub", make("Mul", step, make.constant(2.0)), make.constant(1.0))
    return make("Mul", sign, scale)


def _trunc(make: Make, x: str, scale: str, zero: str, *more: str) -> str:
    """Codes without their last bits.

    Version 1 names the bits before and after, and keeps scale and zero point of its codes;
    version 2 names the scale after, which the zero point follows, and limits the codes.
    """
    if len(more) not in (2, 4):
        raise InputError(f"{make.call.where}: Trunc reads 5 or 7 values, not {3 + len(more)}")
    codes = make("Round", make("Add", make("Div", x, scale), zero))
    if len(more) == 2:
        before, after = (float(needed(make, name, "bits").item()) for name in more)
        lost, result_scale, result_zero = 2.0 ** (before - after), scale, zero
    else:
        result_scale = more[1]
        ratio = needed(make, result_scale, "out_scale") / needed(make, scale, "scale")
        lost = float(2.0 ** np.round(np.log2(ratio)).max())
        result_zero = make.constant(needed(make, zero, "zeropt") / lost)
    parts = make("Mul", codes, make.constant(1.0 / lost))
    if len(more) == 4:
        parts = _limited(make, parts, float(needed(make, more[3], "out_bitwidth").item()))
    whole = make(_rounding(make, "FLOOR"), parts)
    return make("Mul", make("Sub", whole, result_zero), result_scale)


def _multi_threshold(make: Make, x: str, thresholds: str) -> str:
    """How many thresholds of its channel a value reaches, times a scale, plus an offset."""
    call, levels = make.call, needed(make, thresholds, "thresholds").astype(np.float64)
    rank = len(make.shape(x)) + 1
    axis = 1 if rank == 4 and call.text("data_layout", "NCHW") == "NCHW" else rank - 1
    channels = make.shape(x)[axis - 1] if rank > 1 else 1
    if levels.ndim != 2 or levels.shape[0] not in (1, channels) or not levels.shape[1]:
        raise InputError(
            f"{call.where}: thresholds {levels.shape} must be (1 or {channels}, at least 1)"
        )
    spread = (slice(None), *[None] * (rank - 1 - axis))
    count = _even(make, x, levels, spread) if _is_even(levels) else _steps(make, x, levels, spread)
    scale, bias = (call.number(*pair) for pair in (("out_scale", 1.0), ("out_bias", 0.0)))
    return make("Add", make("Mul", count, make.constant(scale)), make.constant(bias))


def _is_even(levels: np.ndarray) -> bool:
    if levels.shape[1] < 2:
        return False
    steps = np.diff(levels, axis=1)
    return bool((steps > 0).all() and (np.ptp(steps, axis=1) <= _EVEN * steps.min(axis=1)).all())


def _even(make: Make, x: str, levels: np.ndarray, spread: tuple[slice | None, ...]) -> str:
    """Even thresholds: a division rounded down, a value at a threshold not below it."""
    number = levels.shape[1]
    step = (levels[:, -1] - levels[:, 0]) / (number - 1)
    factor, offset = 1.0 / step, 1.0 + _EVEN - levels[:, 0] / step
    part = make("Mul", x, make.constant(factor[spread].astype(np.float32)))
    place = make("Add", part, make.constant(offset[spread].astype(np.float32)))
    whole = make("Floor", place)
    return make("Clip", whole, make.constant(0.0), make.constant(float(number)))


def _steps(make: Make, x: str, levels: np.ndarray, spread: tuple[slice | None, ...]) -> str:
    """Uneven thresholds: a comparison with each."""
    if levels.shape[1] > _MOST_STEPS:
        raise InputError(
            f"{make.call.where}: {levels.shape[1]} uneven thresholds are too many, up to "
            f"{_MOST_STEPS} are possible"
        )
    limits = [make.constant(one[spread].astype(np.float32)) for one in levels.T]
    return make("Sum", *(greater_or_equal(make, x, limit) for limit in limits))


QUANTIZERS: Mapping[str, Compose] = {
    f"{QONNX}.Quant": _quant,
    f"{QONNX}.IntQuant": _quant,
    f"{QONNX}.BipolarQuant": _bipolar,
    f"{QONNX}.Trunc": _trunc,
    f"{QONNX}.MultiThreshold": _multi_threshold,
}
"""What each is made of."""
