"""Exponential and reciprocal of a sum, from a table of one octave."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Elaboratable, Module, Mux, Signal, signed
from amaranth.lib.wiring import In, Out

from pulsarray.hw.blocks.shared import Shared
from pulsarray.hw.vector.normalizer import Normalizer
from pulsarray.hw.vector.rounding import clamp, saturate

__all__ = ["SpecialFunction"]

BITS = 16
FRACTION = BITS - 1
TOTAL_BITS = BITS + FRACTION
HALVINGS = 40
"""Largest exponent of an exponential."""


class SpecialFunction(Shared):
    """What is done before and after the look-up for EXP and RECIPROCAL (docs/machine.md, VECTOR).

    Parameters
    ----------
    acc_bits
        Width of a sum.
    wait
        Cycles from the argument to its look-up.

    Members
    -------
    enable, is_exponential, is_reciprocal, sum
        A sum; without one of the functions the table's value is passed on.
    argument
        What is looked up for it in this cycle.
    value
        In the cycle after the look-up: what was found.
    code, total
        In the same cycle: the result as an operand and as a sum.
    """

    def __init__(self, *, acc_bits: int, wait: int) -> None:
        self._acc_bits, self._wait = acc_bits, wait
        super().__init__(
            {
                "enable": In(1),
                "is_exponential": In(1),
                "is_reciprocal": In(1),
                "sum": In(signed(acc_bits)),
                "argument": Out(signed(BITS)),
                "value": In(signed(BITS)),
                "code": Out(signed(BITS)),
                "total": Out(signed(TOTAL_BITS)),
            },
            acc_bits=acc_bits,
            wait=wait,
        )

    def body(self, platform: Any) -> Elaboratable:
        """The fraction and the octave of the sum; the octave waits for the fraction's value."""
        m = Module()
        m.submodules.normalizer = normalizer = Normalizer()
        most = HALVINGS << FRACTION
        limited = Signal(range(most + 1))
        fraction = Signal(FRACTION)
        m.d.comb += [
            limited.eq(clamp(self.sum, 0, most)),
            normalizer.value.eq(Mux(self.is_reciprocal & (self.sum > 1), self.sum, 1)),
            # The normalized number without its leading one.
            fraction.eq(
                Mux(
                    self.is_reciprocal,
                    normalizer.shifted[-BITS:-1],
                    limited[:FRACTION],
                )
            ),
            self.argument.eq(Cat(Const(0, 1), fraction[:-1], ~fraction[-1]).as_signed()),
        ]
        was_exponential, was_reciprocal = (Signal(name=f"was_{n}") for n in ("power", "inverse"))
        octave = Signal(signed(len(normalizer.length) + 1), reset_less=True)
        with m.If(self.enable):
            m.d.sync += [
                was_exponential.eq(self.is_exponential),
                was_reciprocal.eq(self.is_reciprocal),
                octave.eq(
                    Mux(self.is_reciprocal, normalizer.length - BITS, limited[FRACTION:]),
                ),
            ]
        was_exponential, was_reciprocal, octave = (
            self._later(m, value) for value in (was_exponential, was_reciprocal, octave)
        )
        power, inverse = (Signal(signed(TOTAL_BITS), name=n) for n in ("power", "inverse"))
        m.d.comb += [
            power.eq((self.value << FRACTION) >> octave[:6].as_unsigned()),
            self.code.eq(Mux(was_exponential, saturate(power, BITS), self.value)),
            inverse.eq(self.value + (Mux(was_reciprocal, octave, 0) << BITS)),
            self.total.eq(Mux(was_exponential, power, inverse)),
        ]
        return m

    def _later(self, m: Module, value: Signal) -> Signal:
        """What is known of the argument, in the cycle in which its value is found."""
        for cycle in range(self._wait):
            register = Signal.like(value, name=f"{value.name}_{cycle}", reset_less=True)
            m.d.sync += register.eq(value)
            value = register
        return value
