"""Trigonometric and hyperbolic functions."""

from __future__ import annotations

import numpy as np

from pulsarray.compiler.ops.function import Function

__all__ = ["Asinh", "Atan", "Cos", "Cosh", "Sin", "Sinh"]


class Sin(
    Function, title="sin", summary="the sine of x", at=np.sin, slope_at=lambda x, _: np.cos(x)
):
    """The sine of x."""


class Cos(
    Function, title="cos", summary="the cosine of x", at=np.cos, slope_at=lambda x, _: -np.sin(x)
):
    """The cosine of x."""


class Atan(
    Function,
    title="atan",
    summary="the inverse tangent of x",
    at=np.arctan,
    slope_at=lambda x, _: 1.0 / (1.0 + x * x),
):
    """The inverse tangent of x."""

    is_monotonic = True


class Sinh(
    Function,
    title="sinh",
    summary="the hyperbolic sine of x",
    at=np.sinh,
    slope_at=lambda x, _: np.cosh(x),
):
    """The hyperbolic sine of x."""

    is_monotonic = True


class Cosh(
    Function,
    title="cosh",
    summary="the hyperbolic cosine of x",
    at=np.cosh,
    slope_at=lambda x, _: np.sinh(x),
):
    """The hyperbolic cosine of x."""


class Asinh(
    Function,
    title="asinh",
    summary="the inverse hyperbolic sine of x",
    at=np.arcsinh,
    slope_at=lambda x, _: 1.0 / np.sqrt(1.0 + x * x),
):
    """The inverse hyperbolic sine of x."""

    is_monotonic = True
