"""The counting semaphores that order the units."""

from __future__ import annotations

import itertools
from typing import Any

from amaranth.hdl import Cat, Const, Elaboratable, Module, Signal, Value
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from pulsarray.config import SEMAPHORE_MAX, SEMAPHORES
from pulsarray.hw.blocks.choice import chosen
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
        """One adder; a bit more than the count has tells what leaves the range on either side.

        One unit at most may take in a cycle.
        """
        m = Module()
        count = Signal(SEMAPHORE_MAX.bit_length())
        following = Signal(len(count) + 1)
        changes = [Const(value, len(following)) for value in range(-1, self._units + 1)]
        number, change = Signal(range(len(changes))), Signal(len(following), name="change")
        several = Signal(name="several")
        pairs = itertools.combinations(range(self._units), 2)
        m.d.comb += [
            number.eq(_ones([*self.signal, ~self.take.any()])),
            change.eq(chosen(changes, number)),
            following.eq(count + change.as_signed()),
            several.eq(Cat(self.take[a] & self.take[b] for a, b in pairs).any()),
            self.available.eq(count != 0),
            self.error.eq(following[-1] | several),
        ]
        m.d.sync += count.eq(following)
        with m.If(self.clear):
            m.d.sync += count.eq(0)
        return m


def _ones(bits: list[Value]) -> Value:
    """How many bits are set, of full adders in logic: carry chains are too long for so few."""
    places, result = [list(bits)], []
    for column in places:
        carries: list[Value] = []
        while len(column) > 1:
            a, b, c = [*column[:3], Const(0, 1)][:3]
            column[:3] = [a ^ b ^ c]
            carries.append((a & b) | (a & c) | (b & c))
        result.append(column[0])
        if carries:
            places.append(carries)
    return Cat(result)
