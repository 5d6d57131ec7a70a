"""Bit lengths of numbers."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Elaboratable, Module, Mux, Signal, Value
from amaranth.lib.wiring import In, Out

from pulsarray.hw.blocks.shared import Shared
from pulsarray.hw.vector.rounding import WIDE

__all__ = ["Normalizer"]


class Normalizer(Shared):
    """Bit length of a number, and the number shifted to the left as far as it goes.

    Members
    -------
    value
        Not negative.
    length, shifted
        In the same cycle; the length of zero is zero.
    """

    def __init__(self) -> None:
        super().__init__({"value": In(WIDE), "length": Out(7), "shifted": Out(WIDE)})

    def body(self, platform: Any) -> Elaboratable:
        """One step for each power of two."""
        m = Module()
        value: Value = self.value
        steps = []
        for power in reversed(range((WIDE - 1).bit_length())):
            step = Signal(name=f"step{power}")
            moved = Signal(WIDE, name=f"moved{power}")
            m.d.comb += [
                step.eq(~value[-(1 << power) :].any()),
                moved.eq(Mux(step, value << (1 << power), value)),
            ]
            steps.append(~step)
            value = moved
        m.d.comb += [
            self.length.eq(Cat(*reversed(steps)) + value[-1]),
            self.shifted.eq(value),
        ]
        return m
