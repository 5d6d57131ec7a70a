"""Cuts a transfer into AXI4 INCR bursts (docs/machine.md, section 4)."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Elaboratable, Module, Mux, Signal, signed
from amaranth.lib.wiring import In, Out

from pulsarray.config import Config
from pulsarray.hw.blocks.shared import Shared

__all__ = ["BEATS_BITS", "MEMORY_BITS", "Bursts"]

MEMORY_BITS = 32
BEATS_BITS = 9
_PAGE_BITS = 12


class Bursts(Shared):
    """One burst after the other of ``count0 * count1`` runs of contiguous bytes.

    Parameters
    ----------
    burst_bytes, bus_bytes
        Longest burst, and bytes of a beat.

    Members
    -------
    start, address, run_bytes, count0, stride0, count1, stride1
        A transfer: the first burst is there in the next cycle. Strides are in bytes.
    step
        Take the burst.
    active, burst_address, beats, last
        There is a burst; its address and length; it is the last one of the transfer.
    clear
        Forget the transfer.
    """

    def __init__(self, burst_bytes: int, bus_bytes: int) -> None:
        self._burst_bytes, self._bus_bytes = burst_bytes, bus_bytes
        super().__init__(
            {
                "start": In(1),
                "address": In(MEMORY_BITS),
                "run_bytes": In(MEMORY_BITS),
                "count0": In(16),
                "stride0": In(signed(MEMORY_BITS)),
                "count1": In(16),
                "stride1": In(signed(MEMORY_BITS)),
                "step": In(1),
                "active": Out(1),
                "burst_address": Out(MEMORY_BITS),
                "beats": Out(BEATS_BITS),
                "last": Out(1),
                "clear": In(1),
            },
            burst_bytes=burst_bytes,
            bus_bytes=bus_bytes,
        )

    @classmethod
    def of(cls, config: Config) -> Bursts:
        """The bursts of a machine's bus."""
        return cls(config.burst_bytes, config.bus_bytes)

    def body(self, platform: Any) -> Elaboratable:
        """Where the next burst is, where its run began, and where its outer iteration began."""
        m = Module()
        here = self.burst_address
        run = Signal(MEMORY_BITS)
        outer = Signal(MEMORY_BITS)
        left, length = Signal(MEMORY_BITS), Signal(MEMORY_BITS)
        loops = [Signal(16, name=f"left{level}") for level in range(2)]
        inner_count = Signal(16)
        strides = [Signal(signed(MEMORY_BITS), name=f"step{level}") for level in range(2)]
        page = Signal(_PAGE_BITS + 1)
        limit, size = Signal(_PAGE_BITS + 1), Signal(_PAGE_BITS + 1)
        shift = self._bus_bytes.bit_length() - 1
        ends = Signal()
        m.d.comb += [
            page.eq((1 << _PAGE_BITS) - here[:_PAGE_BITS]),
            limit.eq(Mux(page < self._burst_bytes, page, self._burst_bytes)),
            ends.eq(left <= limit),
            size.eq(Mux(ends, left, limit)),
            self.beats.eq(size >> shift),
            self.last.eq(ends & (loops[1] == 1) & (loops[0] == 1)),
        ]
        run_next, outer_next = Signal(MEMORY_BITS), Signal(MEMORY_BITS)
        m.d.comb += [run_next.eq(run + strides[1]), outer_next.eq(outer + strides[0])]
        with m.If(self.start):
            m.d.sync += [
                self.active.eq(1),
                *(position.eq(self.address) for position in (here, run, outer)),
                left.eq(self.run_bytes),
                length.eq(self.run_bytes),
                loops[0].eq(self.count0),
                loops[1].eq(self.count1),
                inner_count.eq(self.count1),
                strides[0].eq(self.stride0),
                strides[1].eq(self.stride1),
            ]
        with m.Elif(self.step):
            m.d.sync += [here.eq(here + size), left.eq(left - size)]
            with m.If(self.last):
                m.d.sync += self.active.eq(0)
            with m.Elif(ends & (loops[1] != 1)):
                m.d.sync += [here.eq(run_next), run.eq(run_next), left.eq(length)]
                m.d.sync += loops[1].eq(loops[1] - 1)
            with m.Elif(ends):
                m.d.sync += [position.eq(outer_next) for position in (here, run, outer)]
                m.d.sync += [left.eq(length), loops[1].eq(inner_count)]
                m.d.sync += loops[0].eq(loops[0] - 1)
        with m.If(self.clear):
            m.d.sync += self.active.eq(0)
        return m


def bytes_of(words: Any, word_bytes: int) -> Any:
    """A number of words as bytes, by a shift."""
    return Cat(Const(0, word_bytes.bit_length() - 1), words)
