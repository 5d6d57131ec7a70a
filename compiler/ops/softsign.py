"""x over one more than its magnitude."""

from __future__ import annotations

from pulsarray.compiler.ops.function import Function

__all__ = ["Softsign"]


class Softsign(
    Function,
    title="softsign",
    summary="x / (1 + |x|)",
    at=lambda x: x / (1.0 + abs(x)),
    slope_at=lambda x, _: (1.0 + abs(x)) ** -2.0,
):
    """``x / (1 + |x|)`` (Bergstra et al. 2009)."""

    is_monotonic = True
