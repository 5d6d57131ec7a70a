"""Trigonometric and hyperbolic functions."""

from __future__ import annotations

import numpy as np

from pulsarray.compiler.ir.value import Array
from pulsarray.compiler.ops.function import Function

__all__ = ["Asinh", "Atan", "Cos", "Cosh", "Sin", "Sinh"]


class Sin(Function, title="sin", summary="the sine of x", reads=("x",)):
    """The sine of x."""

    def real(self, *arrays: Array) -> Array:
        """At x."""
        return np.asarray(np.sin(arrays[0]))

    def derivative(self, x: Array, result: Array) -> Array:
        """At x."""
        return np.asarray(np.cos(x))


class Cos(Function, title="cos", summary="the cosine of x", reads=("x",)):
    """The cosine of x."""

    def real(self, *arrays: Array) -> Array:
        """At x."""
        return np.asarray(np.cos(arrays[0]))

    def derivative(self, x: Array, result: Array) -> Array:
        """At x."""
        return np.asarray(-np.sin(x))


class Atan(Function, title="atan", summary="the inverse tangent of x", reads=("x",)):
    """The inverse tangent of x."""

    is_monotonic = True

    def real(self, *arrays: Array) -> Array:
        """At x."""
        return np.asarray(np.arctan(arrays[0]))

    def derivative(self, x: Array, result: Array) -> Array:
        """At x."""
        return np.asarray(1.0 / (1.0 + x * x))


class Sinh(Function, title="sinh", summary="the hyperbolic sine of x", reads=("x",)):
    """The hyperbolic sine of x."""

    is_monotonic = True

    def real(self, *arrays: Array) -> Array:
        """At x."""
        return np.asarray(np.sinh(arrays[0]))

    def derivative(self, x: Array, result: Array) -> Array:
        """At x."""
        return np.asarray(np.cosh(x))


class Cosh(Function, title="cosh", summary="the hyperbolic cosine of x", reads=("x",)):
    """The hyperbolic cosine of x."""

    def real(self, *arrays: Array) -> Array:
        """At x."""
        return np.asarray(np.cosh(arrays[0]))

    def derivative(self, x: Array, result: Array) -> Array:
        """At x."""
        return np.asarray(np.sinh(x))


class Asinh(Function, title="asinh", summary="the inverse hyperbolic sine of x", reads=("x",)):
    """The inverse hyperbolic sine of x."""

    is_monotonic = True

    def real(self, *arrays: Array) -> Array:
        """At x."""
        return np.asarray(np.arcsinh(arrays[0]))

    def derivative(self, x: Array, result: Array) -> Array:
        """At x."""
        return np.asarray(1.0 / np.sqrt(1.0 + x * x))
