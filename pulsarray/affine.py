"""Codes of real values: the one rule by which whatever comes from outside is quantized."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["decode", "encode"]


def encode(
    values: npt.ArrayLike,
    scale: float,
    zero_point: int,
    *,
    bits: int = 8,
    half_away: bool = False,
) -> npt.NDArray[np.int64]:
    """``clip(round(value / scale) + zero_point)``: codes of real values of any shape.

    Codes of 8 bits are computed in float32, a division, as ONNX's QuantizeLinear and LiteRT's
    QUANTIZE (reference kernels) do; those of 16 bits, whose scales are powers of two, in float64.
    Halves are rounded to even as in ONNX, with ``half_away`` away from zero as in LiteRT.
    """
    kind = np.dtype(np.float32 if bits == 8 else np.float64)
    with np.errstate(over="ignore"):
        quotient = np.asarray(values).astype(kind) / np.asarray(scale, kind)
    rounded = np.rint(quotient)
    if half_away:
        whole = np.trunc(quotient)
        rounded = whole + np.where(np.abs(quotient - whole) >= 0.5, np.sign(quotient), 0)
    limit = 1 << (bits - 1)
    codes = np.clip(rounded.astype(np.float64) + zero_point, -limit, limit - 1)
    return np.asarray(codes, np.int64)


def decode(codes: npt.ArrayLike, scale: float, zero_point: int) -> npt.NDArray[np.float64]:
    """``(code - zero_point) * scale``: real values of codes of any shape."""
    return (np.asarray(codes, np.float64) - zero_point) * scale
