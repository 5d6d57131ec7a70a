"""The choice of one of many by number, as a tree: what devices have multiplexers for."""

from __future__ import annotations

from collections.abc import Sequence

from amaranth.hdl import Mux, Value

__all__ = ["chosen"]


def chosen(values: Sequence[Value], number: Value) -> Value:
    """The value of that number; any of them beyond the last.

    Parameters
    ----------
    values
        Of equal width, at least one.
    number
        At least as many bits as the numbers need.
    """
    rest, bit = list(values), 0
    while len(rest) > 1:
        alone = rest[len(rest) - len(rest) % 2 :]
        pairs = zip(rest[::2], rest[1::2], strict=False)
        rest = [*(Mux(number[bit], odd, even) for even, odd in pairs), *alone]
        bit += 1
    return rest[0]
