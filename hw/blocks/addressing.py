"""Addresses of nested loops over words, with a window test."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Elaboratable, Module, Mux, Signal, Value, signed
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from pulsarray.hw.blocks.choice import chosen
from pulsarray.hw.blocks.shared import Shared

__all__ = ["AddressGenerator"]

COUNT_BITS = 16
AXIS_BITS = 16


class AddressGenerator(Shared):
    """Affine addresses of several streams over one loop nest; level 0 is outermost.

    Everything that is not ``start`` or ``step`` is latched at ``start``; the outputs belong to the
    current word and come from registers (``inside`` and ``done`` through one gate).

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
        """Counters for the loops, and a walker for each position."""
        m = Module()
        self._control(m)
        move = self._loops(m)
        for stream in range(self._streams):
            base, strides = self.bases[stream], self.strides[stream]
            walker = self._walk(m, f"stream{stream}", base, strides, move)
            m.d.comb += self.addresses[stream].eq(walker.position)
        inside: Value | int = 1
        if self._window:
            inside = self._axis(m, "row", move) & self._axis(m, "column", move)
        m.d.comb += self.inside.eq(inside)
        return m

    def _control(self, m: Module) -> None:
        m.d.comb += self.done.eq(self.last.all())
        with m.If(self.start):
            m.d.sync += self.active.eq(1)
        with m.Elif((self.step & self.done) | self.clear):
            m.d.sync += self.active.eq(0)

    def _loops(self, m: Module) -> dict[str, Value]:
        """Counters; returns what the walkers do: which level's index grows, and which of them take
        what that makes of their position, or the base.

        Whether an index is its first or its last is known one step ahead: ``second`` is the
        index and 2.
        """
        levels = self._levels
        turns = Signal(range(max(2, levels)), name="turns")
        inner_lasts = [self.last[level + 1 :].all() for level in range(levels - 1)]
        inner_lasts.append(Const(1))
        for level, inner_last in reversed(list(enumerate(inner_lasts))):
            self._loop(m, level, inner_last)
            with m.If(inner_last):
                m.d.comb += turns.eq(level)
        grown = [self.start | (self.step & inner_last & ~self.done) for inner_last in inner_lasts]
        return {"turns": turns, "moves": Cat(grown)}

    def _loop(self, m: Module, level: int, inner_last: Value) -> None:
        """One level's index."""
        size, second = (
            Signal(COUNT_BITS, name=f"{name}{level}", reset_less=True)
            for name in ("size", "second")
        )
        zero, last, only = (
            Signal(name=f"{name}{level}", reset_less=True) for name in ("zero", "last", "only")
        )
        is_only, steps = self.counts[level] == 1, self.step & inner_last
        m.d.comb += Cat(self.zero[level], self.last[level]).eq(Cat(zero, last))
        with m.If(self.start | (steps & last)):
            m.d.sync += second.eq(2)
        with m.Elif(steps):
            m.d.sync += second.eq(second + 1)
        with m.If(self.start):
            m.d.sync += [size.eq(self.counts[level]), only.eq(is_only)]
            m.d.sync += [zero.eq(1), last.eq(is_only)]
        with m.Elif(steps):
            m.d.sync += [zero.eq(last), last.eq(Mux(last, only, second == size))]

    def _walk(
        self,
        m: Module,
        name: str,
        base: Value,
        strides: Any,
        move: dict[str, Value],
        limit: Any = None,
    ) -> Walker:
        """One stream, or one axis of the window, which has a limit."""
        bits, step_bits = len(base), strides.shape().elem_shape.width
        walker = Walker(self._levels, bits, step_bits, limited=limit is not None)
        m.submodules[name] = walker
        m.d.comb += [
            walker.start.eq(self.start),
            walker.base.eq(base),
            walker.strides.eq(strides),
            *(getattr(walker, part).eq(value) for part, value in move.items()),
        ]
        if limit is not None:
            m.d.comb += walker.limit.eq(limit)
        return walker

    def _axis(self, m: Module, axis: str, move: dict[str, Value]) -> Value:
        """Whether the position along one axis is inside the window."""
        ports = {part: getattr(self, f"{axis}_{part}") for part in ("start", "steps", "limit")}
        walker = self._walk(m, axis, ports["start"], ports["steps"], move, ports["limit"])
        return Value.cast(walker.inside)


class Walker(Shared):
    """One position that moves with a loop nest; pointer ``i`` is where the loops inside i began.

    Parameters
    ----------
    levels, bits, step_bits
        Loops, width of the position (it wraps) and of a signed stride.
    limited
        Whether the position is compared with a limit.

    Members
    -------
    start, base, strides[level]
        Latch the strides and go to the base.
    turns, moves
        The level whose index grows; and one bit for each pointer that becomes what this makes of
        its own, or the base.
    position
        Where the nest is now.
    limit, inside
        Latched with the base; whether ``0 <= position < limit``, the position being signed.
    """

    def __init__(self, levels: int, bits: int, step_bits: int, limited: bool = False) -> None:
        self._levels, self._bits, self._limited = levels, bits, limited
        members: dict[str, Any] = {
            "start": In(1),
            "base": In(bits),
            "strides": In(data.ArrayLayout(signed(step_bits), levels)),
            "turns": In(range(max(2, levels))),
            "moves": In(levels),
            "position": Out(bits),
        }
        if limited:
            members |= {"limit": In(bits), "inside": Out(1)}
        super().__init__(members, levels=levels, bits=bits, step_bits=step_bits, limited=limited)

    def body(self, platform: Any) -> Elaboratable:
        """One adder, whose sum replaces the pointer that moves and those inside it."""
        m = Module()
        strides = Signal.like(self.strides, name="latched", reset_less=True)
        levels = range(self._levels)
        pointers = [Signal(self._bits, name=f"pointer{i}", reset_less=True) for i in levels]
        pointer, following = Signal(self._bits), Signal(self._bits)
        stride = Signal.like(self.strides[0], name="stride")
        m.d.comb += [
            pointer.eq(chosen(pointers, self.turns)),
            stride.eq(chosen([strides[level] for level in levels], self.turns)),
            following.eq(pointer + stride),
            self.position.eq(pointers[-1]),
        ]
        with m.If(self.start):
            m.d.sync += strides.eq(self.strides)
        for level in levels:
            with m.If(self.moves[level]):
                m.d.sync += pointers[level].eq(Mux(self.start, self.base, following))
        if self._limited:
            self._compare(m, pointer, stride, following)
        return m

    def _compare(self, m: Module, pointer: Signal, stride: Value, following: Signal) -> None:
        """The comparison with the limit, beside the sum that it is about."""
        bits = self._bits
        # A position that is not negative is below 2^(bits - 1), and so below any larger limit.
        most = Mux(self.limit[-1], 1 << (bits - 1), self.limit)
        limit = Signal(bits, name="latched_limit", reset_less=True)
        inside, below = Signal(reset_less=True), Signal(bits, name="below")
        m.d.comb += [below.eq(pointer + stride - limit), self.inside.eq(inside)]
        with m.If(self.start):
            m.d.sync += [limit.eq(most), inside.eq(~self.base[-1] & (self.base < self.limit))]
        with m.Elif(self.moves[-1]):
            m.d.sync += inside.eq(~following[-1] & below[-1])
