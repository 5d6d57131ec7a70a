"""Exact sums and products of mantissas, by the definitions in real numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from pulsarray.compiler.ir.mantissas import Part, Rounding
from pulsarray.compiler.ir.value import Array
from pulsarray.compiler.numerics.mantissas import blen, exact, rne, sym

__all__ = ["affine", "product", "total"]

_WIDE = 32


def product(real: Callable[..., Array], parts: Sequence[Part]) -> Part:
    """What is a product of all parts, or a sum of such products."""
    arrays, exponents = zip(*parts, strict=True)
    return exact(real, *arrays), sum(exponents)


def affine(real: Callable[..., Array], parts: Sequence[Part]) -> Part:
    """The same with a bias, the last part, which is rounded to the exponent of the products."""
    *factors, (bias, e_bias) = parts
    exponent = sum(e for _, e in factors)
    sums = exact(real, *(values for values, _ in factors), np.zeros_like(bias))
    return sums + rne(bias, exponent - e_bias), exponent


def total(parts: Sequence[Part], rounding: Rounding) -> Part:
    """The sum of several tensors, 32 bits, with guard bits below the exponent of the result."""
    exponent = rounding.guarded(max(blen(values) + e for values, e in parts))
    (first, e_first), *others = parts
    sums = rne(first, exponent - e_first)
    for values, e_values in others:
        sums = sym(sums + rne(values, exponent - e_values), _WIDE)
    return sums, exponent
