"""Addresses of nested loops over words, with a window test."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Const, Elaboratable, Module, Mux, Signal, Value, signed
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from pulsarray.hw.blocks.shared import Shared

__all__ = ["AddressGenerator"]

COUNT_BITS = 16
AXIS_BITS = 16


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
    clear
        There is no current word any more.
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
            "clear": In(1),
        }
        if window:
            for axis in ("row", "column"):
                members[f"{axis}_start"] = In(signed(AXIS_BITS))
                members[f"{axis}_steps"] = In(data.ArrayLayout(signed(AXIS_BITS), levels))
                members[f"{axis}_limit"] = In(AXIS_BITS)
        super().__init__(
            members,
            levels=levels,
            streams=streams,
            address_bits=address_bits,
            step_bits=step_bits,
            window=window,
        )

    def body(self, platform: Any) -> Elaboratable:
        """Down counters for the loops, and a walker for each position."""
        m = Module()
        self._control(m)
        advance = self._loops(m)
        for stream in range(self._streams):
            position = self._walk(
                m, f"stream{stream}", self.bases[stream], self.strides[stream], advance
            )
            m.d.comb += self.addresses[stream].eq(position)
        inside: Value | int = 1
        if self._window:
            inside = self._axis(m, "row", advance) & self._axis(m, "column", advance)
        m.d.comb += self.inside.eq(inside)
        return m

    def _control(self, m: Module) -> None:
        m.d.comb += self.done.eq(self.last.all())
        with m.If(self.start):
            m.d.sync += self.active.eq(1)
        with m.Elif((self.step & self.done) | self.clear):
            m.d.sync += self.active.eq(0)

    def _loops(self, m: Module) -> Signal:
        """Counters; returns one bit a level: this level advances at a step (none at the end)."""
        levels = self._levels
        advance = Signal(levels)
        for level in range(levels):
            highest = Signal(COUNT_BITS, name=f"highest{level}", reset_less=True)
            remaining = Signal(COUNT_BITS, name=f"remaining{level}", reset_less=True)
            inner_last = self.last[level + 1 :].all() if level + 1 < levels else Const(1)
            first = self.counts[level] - 1
            m.d.comb += [
                self.last[level].eq(remaining == 0),
                advance[level].eq(inner_last & (remaining != 0)),
                self.zero[level].eq(remaining == highest),
            ]
            with m.If(self.start):
                m.d.sync += [highest.eq(first), remaining.eq(first)]
            with m.Elif(self.step & inner_last):
                m.d.sync += remaining.eq(Mux(remaining == 0, highest, remaining - 1))
        return advance

    def _walk(self, m: Module, name: str, base: Value, strides: Any, advance: Signal) -> Value:
        """The position of one stream, or along one axis of the window."""
        walker = Walker(len(advance), len(base), strides.shape().elem_shape.width)
        m.submodules[name] = walker
        m.d.comb += [
            walker.start.eq(self.start),
            walker.base.eq(base),
            walker.strides.eq(strides),
            walker.step.eq(self.step),
            walker.advance.eq(advance),
        ]
        return walker.position

    def _axis(self, m: Module, axis: str, advance: Signal) -> Value:
        """Whether the position along one axis is inside the window."""
        ports = {part: getattr(self, f"{axis}_{part}") for part in ("start", "steps", "limit")}
        position = self._walk(m, axis, ports["start"], ports["steps"], advance).as_signed()
        limit = Signal(AXIS_BITS, name=f"{axis}_limit_latched", reset_less=True)
        with m.If(self.start):
            m.d.sync += limit.eq(ports["limit"])
        return (position >= 0) & (position < limit)


class Walker(Shared):
    """One position that moves with a loop nest; pointer ``i`` is where the loops inside i began.

    Parameters
    ----------
    levels, bits, step_bits
        Loops, width of the position (it wraps) and of a signed stride.

    Members
    -------
    start, base, strides[level]
        Latch the strides and go to the base.
    step, advance
        Go on: one bit of ``advance`` says which level's index grows (inner ones return to 0).
    position
        Where the nest is now.
    """

    def __init__(self, levels: int, bits: int, step_bits: int) -> None:
        self._levels, self._bits = levels, bits
        super().__init__(
            {
                "start": In(1),
                "base": In(bits),
                "strides": In(data.ArrayLayout(signed(step_bits), levels)),
                "step": In(1),
                "advance": In(levels),
                "position": Out(bits),
            },
            levels=levels,
            bits=bits,
            step_bits=step_bits,
        )

    def body(self, platform: Any) -> Elaboratable:
        """One adder, whose sum replaces the pointer that advances and those inside it."""
        m = Module()
        strides = Signal.like(self.strides, name="latched", reset_less=True)
        levels = range(self._levels)
        pointers = [Signal(self._bits, name=f"pointer{i}", reset_less=True) for i in levels]
        pointer, stride = Signal(self._bits), Signal.like(self.strides[0], name="stride")
        for level in levels:
            with m.If(self.advance[level]):
                m.d.comb += [pointer.eq(pointers[level]), stride.eq(strides[level])]
        following = Signal(self._bits)
        m.d.comb += [following.eq(pointer + stride), self.position.eq(pointers[-1])]
        with m.If(self.start):
            m.d.sync += [strides.eq(self.strides), *(p.eq(self.base) for p in pointers)]
        with m.Elif(self.step):
            for level in levels:
                with m.If(self.advance[: level + 1].any()):
                    m.d.sync += pointers[level].eq(following)
        return m
