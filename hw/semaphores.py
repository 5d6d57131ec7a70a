"""The counting semaphores that order the units."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Elaboratable, Module, Signal
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from pulsarray.config import SEMAPHORE_MAX, SEMAPHORES
from pulsarray.hw.shared import Shared

__all__ = ["Semaphores"]


class Semaphores(Shared):
    """Sixteen counts; every unit may take from and signal any of them in every cycle.

    Parameters
    ----------
    units
        Units.

    Members
    -------
    take[unit], signal[unit]
        One bit a semaphore.
    available
        Semaphores that count at least one.
    error
        A count would leave its range in this cycle.
    clear
        All counts become zero.
    """

    def __init__(self, units: int) -> None:
        self._units = units
        masks = data.ArrayLayout(SEMAPHORES, units)
        super().__init__(
            {
                "take": In(masks),
                "signal": In(masks),
                "available": Out(SEMAPHORES),
                "error": Out(1),
                "clear": In(1),
            },
            units=units,
        )

    def body(self, platform: Any) -> Elaboratable:
        """A counter each, with the range checked on the wider sum."""
        m = Module()
        wrong = Signal(SEMAPHORES)
        m.d.comb += self.error.eq(wrong.any())
        width = SEMAPHORE_MAX.bit_length()
        for number in range(SEMAPHORES):
            count = Signal(width, name=f"count{number}")
            following = Signal(
                range(-self._units, SEMAPHORE_MAX + self._units + 1), name=f"following{number}"
            )
            gain = sum(self.signal[unit][number] for unit in range(self._units))
            loss = sum(self.take[unit][number] for unit in range(self._units))
            m.d.comb += [
                following.eq(count + gain - loss),
                self.available[number].eq(count != 0),
                wrong[number].eq((following < 0) | (following > SEMAPHORE_MAX)),
            ]
            m.d.sync += count.eq(following)
            with m.If(self.clear):
                m.d.sync += count.eq(0)
        return m
