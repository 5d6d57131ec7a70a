"""Squares."""

from __future__ import annotations

from pulsarray.compiler.ops.function import Function

__all__ = ["Square"]


class Square(
    Function, title="square", summary="x * x", at=lambda x: x * x, slope_at=lambda x, _: 2 * x
):
    """Squares."""
