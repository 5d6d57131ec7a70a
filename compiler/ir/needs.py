"""What operators need of a machine that not every configuration has."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Needs", "Pair"]

Pair = tuple[int, int]
"""Multiplier and shift: ``multiplier / 2^shift``."""


@dataclass(frozen=True)
class Needs:
    """What an operator needs of a machine.

    Parameters
    ----------
    multiplier
        Its largest multiplier.
    tflite
        Whether it rounds as TensorFlow Lite does.
    addition
        The scales of TensorFlow Lite's addition, of which one must be one half; none without.
    fine
        Whether it scales sums to bits below a code.
    table
        Whether it looks codes up in a table.
    product
        Whether it multiplies codes with codes in the vector unit.
    identity
        Whether it streams through a tile of the array that changes nothing.
    transposer
        Whether what the array has as weights is transposed on its way there.
    residual
        Whether it scales a second source.
    wide
        Whether words of the accumulator banks hold 32 bits of what is between its VECTORs.
    """

    multiplier: int = 1
    tflite: bool = False
    addition: tuple[Pair, ...] = ()
    fine: bool = False
    table: bool = False
    product: bool = False
    identity: bool = False
    transposer: bool = False
    residual: bool = False
    wide: bool = False
