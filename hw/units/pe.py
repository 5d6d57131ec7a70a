"""One processing element of the weight-stationary array."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Elaboratable, Module, Signal, signed
from amaranth.lib.wiring import In, Out

from pulsarray.hw.blocks.shared import Shared

__all__ = ["ProcessingElement"]


class ProcessingElement(Shared):
    """Multiplies the operand that passes by its weight and adds the sum from above.

    The operand and its two tokens move right, the weight word and the sums down, one element a
    cycle. With the operand in cycle t, ``sum_in`` belongs to it in t + 1 and ``sum_out`` in t + 2.

    Parameters
    ----------
    operand_bits, psum_bits
        Width of operands and of partial sums, which wrap.

    Members
    -------
    x_in, x_out
        The operand, multiplied by the active weight of this cycle.
    swap_in, swap_out
        The shadow weight becomes active from the next cycle on.
    capture_in, capture_out
        ``w_in`` becomes the shadow weight (a swap in the same cycle takes the one before).
    w_in, w_out
        The weight that passes.
    sum_in, sum_out
        The partial sum.
    """

    def __init__(self, operand_bits: int, psum_bits: int) -> None:
        self._operand, self._psum = signed(operand_bits), signed(psum_bits)
        super().__init__(
            {
                "x_in": In(self._operand),
                "x_out": Out(self._operand),
                "swap_in": In(1),
                "swap_out": Out(1),
                "capture_in": In(1),
                "capture_out": Out(1),
                "w_in": In(self._operand),
                "w_out": Out(self._operand),
                "sum_in": In(self._psum),
                "sum_out": Out(self._psum),
            },
            operand_bits=operand_bits,
            psum_bits=psum_bits,
        )

    def body(self, platform: Any) -> Elaboratable:
        """Two weight registers, and a register between the product and the addition."""
        m = Module()
        shadow = Signal(self._operand, reset_less=True)
        active = Signal(self._operand, reset_less=True)
        product = Signal(signed(2 * self._operand.width), reset_less=True)
        with m.If(self.capture_in):
            m.d.sync += shadow.eq(self.w_in)
        with m.If(self.swap_in):
            m.d.sync += active.eq(shadow)
        m.d.sync += product.eq(self.x_in * active)
        passing = {
            "x_out": self.x_in,
            "swap_out": self.swap_in,
            "capture_out": self.capture_in,
            "w_out": self.w_in,
            "sum_out": self.sum_in + product,
        }
        for name, value in passing.items():
            port = getattr(self, name)
            register = Signal.like(port, name=f"{name}_register", reset_less=True)
            m.d.sync += register.eq(value)
            m.d.comb += port.eq(register)
        return m
