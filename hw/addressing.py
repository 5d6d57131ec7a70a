"""Addresses of nested loops over words, with a window test."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Elaboratable, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from pulsarray.hw.shared import Shared

__all__ = ["AddressGenerator"]

COUNT_BITS = 16


class AddressGenerator(Shared):
    """Affine addresses of several streams over one loop nest; level 0 is outermost.

    Everything that is not ``start`` or ``step`` is latched at ``start``; the outputs belong to the
    current word and come from registers (``inside`` and ``done`` through a little logic).

    Parameters
    ----------
    levels, streams
        Loops, and addresses that step together.
    address_bits, step_bits
        Width of an address (it wraps) and of a signed stride.
    window
        Whether there is a row and a column that step with the loops, and limits for them.

    Members
    -------
    start
        Begin a nest: the first word is current from the next cycle on. May coincide with any
        ``step``, and overrides it.
    counts[level], bases[stream], strides[stream][level]
        The nest. Counts are at least 1.
    row_start, row_steps[level], row_limit, column_start, column_steps[level], column_limit
        The window: 16-bit signed positions that wrap, inside when ``0 <= position < limit``.
    step
        Take the current word: the next one is current in the next cycle.
    active
        There is a current word.
    addresses[stream]
        Its addresses.
    zero, last
        One bit a level: the index is 0, or the count less 1.
    done
        It is the last word.
    inside
        The window test (1 without a window).
    """

    def __init__(
        self,
        levels: int,
        streams: int,
        address_bits: int = 16,
        step_bits: int = 16,
        window: bool = False,
    ) -> None:
        self._levels, self._streams, self._window = levels, streams, window
        self._address_bits, self._step_bits = address_bits, step_bits
        steps = data.ArrayLayout(signed(step_bits), levels)
        members = {
            "start": In(1),
            "counts": In(data.ArrayLayout(COUNT_BITS, levels)),
            "bases": In(data.ArrayLayout(address_bits, streams)),
            "strides": In(data.ArrayLayout(steps, streams)),
            "step": In(1),
            "active": Out(1),
            "addresses": Out(data.ArrayLayout(address_bits, streams)),
            "zero": Out(levels),
            "last": Out(levels),
            "done": Out(1),
            "inside": Out(1),
        }
        if window:
            for axis in ("row", "column"):
                members[f"{axis}_start"] = In(signed(16))
                members[f"{axis}_steps"] = In(data.ArrayLayout(signed(16), levels))
                members[f"{axis}_limit"] = In(16)
        super().__init__(
            members,
            levels=levels,
            streams=streams,
            address_bits=address_bits,
            step_bits=step_bits,
            window=window,
        )

    def body(self, platform: Any) -> Elaboratable:
        """Down counters for the loops, and a chain of pointers for each stream."""
        m = Module()
        self._control(m)
        advance = self._loops(m)
        for stream in range(self._streams):
            address = self._walk(
                m,
                f"address{stream}",
                unsigned(self._address_bits),
                self.bases[stream],
                self.strides[stream],
                advance,
            )
            m.d.comb += self.addresses[stream].eq(address)
        inside: Value | int = 1
        if self._window:
            inside = self._axis(m, "row", advance) & self._axis(m, "column", advance)
        m.d.comb += self.inside.eq(inside)
        return m

    def _control(self, m: Module) -> None:
        m.d.comb += self.done.eq(self.last.all())
        with m.If(self.start):
            m.d.sync += self.active.eq(1)
        with m.Elif(self.step & self.done):
            m.d.sync += self.active.eq(0)

    def _loops(self, m: Module) -> Signal:
        """Counters; returns one bit a level: this level advances at a step (none at the end)."""
        levels = self._levels
        advance = Signal(levels)
        for level in range(levels):
            reload = Signal(COUNT_BITS, name=f"reload{level}", reset_less=True)
            remaining = Signal(COUNT_BITS, name=f"remaining{level}", reset_less=True)
            inner_last = self.last[level + 1 :].all() if level + 1 < levels else 1
            m.d.comb += [
                self.last[level].eq(remaining == 0),
                advance[level].eq(inner_last & (remaining != 0)),
                self.zero[level].eq(remaining == reload),
            ]
            with m.If(self.start):
                m.d.sync += [
                    reload.eq(self.counts[level] - 1),
                    remaining.eq(self.counts[level] - 1),
                ]
            with m.Elif(self.step & inner_last):
                m.d.sync += remaining.eq(Mux(remaining == 0, reload, remaining - 1))
        return advance

    def _walk(
        self, m: Module, name: str, shape: Any, start: Value, strides: Any, advance: Signal
    ) -> Signal:
        """A position: pointer ``level`` is where the loops inside ``level`` began."""
        levels = self._levels
        latched = Signal(strides.shape(), name=f"{name}_strides", reset_less=True)
        pointers = [
            Signal(shape, name=f"{name}_pointer{level}", reset_less=True) for level in range(levels)
        ]
        following = Signal(shape, name=f"{name}_following")
        for level in range(levels):
            with m.If(advance[level]):
                m.d.comb += following.eq(pointers[level] + latched[level])
        with m.If(self.start):
            m.d.sync += latched.eq(strides)
            m.d.sync += [pointer.eq(start) for pointer in pointers]
        with m.Elif(self.step):
            for level in range(levels):
                with m.If(advance[: level + 1].any()):
                    m.d.sync += pointers[level].eq(following)
        return pointers[-1]

    def _axis(self, m: Module, axis: str, advance: Signal) -> Value:
        """Position along one axis of the window, tested."""
        position = self._walk(
            m,
            axis,
            signed(16),
            getattr(self, f"{axis}_start"),
            getattr(self, f"{axis}_steps"),
            advance,
        )
        limit = Signal(16, name=f"{axis}_limit_latched", reset_less=True)
        with m.If(self.start):
            m.d.sync += limit.eq(getattr(self, f"{axis}_limit"))
        return (position >= 0) & (position < limit)
