"""The counting semaphores that order the units."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Elaboratable, Module, Signal
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from pulsarray.config import SEMAPHORE_MAX, SEMAPHORES
from pulsarray.hw.blocks.shared import Shared

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
        One bit a unit: it takes from or signals a count that leaves its range in this cycle.
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
                "error": Out(units),
                "clear": In(1),
            },
            units=units,
        )

    def body(self, platform: Any) -> Elaboratable:
        """A counter for each."""
        m = Module()
        wrong = Signal(SEMAPHORES)
        for unit in range(self._units):
            involved = self.take[unit] | self.signal[unit]
            m.d.comb += self.error[unit].eq((involved & wrong).any())
        for number in range(SEMAPHORES):
            m.submodules[f"semaphore{number}"] = semaphore = Semaphore(self._units)
            m.d.comb += [
                semaphore.take.eq(Cat(self.take[unit][number] for unit in range(self._units))),
                semaphore.signal.eq(Cat(self.signal[unit][number] for unit in range(self._units))),
                semaphore.clear.eq(self.clear),
                self.available[number].eq(semaphore.available),
                wrong[number].eq(semaphore.error),
            ]
        return m


class Semaphore(Shared):
    """One count.

    Parameters
    ----------
    units
        Units.

    Members
    -------
    take, signal
        One bit a unit: it takes one from the count, it adds one.
    available, error, clear
        As in :class:`Semaphores`.
    """

    def __init__(self, units: int) -> None:
        self._units = units
        super().__init__(
            {
                "take": In(units),
                "signal": In(units),
                "available": Out(1),
                "error": Out(1),
                "clear": In(1),
            },
            units=units,
        )

    def body(self, platform: Any) -> Elaboratable:
        """The range is checked on the wider sum."""
        m = Module()
        count = Signal(SEMAPHORE_MAX.bit_length())
        following = Signal(range(-self._units, SEMAPHORE_MAX + self._units + 1))
        m.d.comb += [
            following.eq(count + sum(self.signal) - sum(self.take)),
            self.available.eq(count != 0),
            self.error.eq((following < 0) | (following > SEMAPHORE_MAX)),
        ]
        m.d.sync += count.eq(following)
        with m.If(self.clear):
            m.d.sync += count.eq(0)
        return m
