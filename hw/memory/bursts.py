"""Cuts a transfer into AXI4 INCR bursts (docs/machine.md, section 4)."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Elaboratable, Module, Mux, Signal, Value, signed
from amaranth.lib.wiring import In, Out

from pulsarray.config import Config
from pulsarray.hw.blocks.shared import Shared

__all__ = ["BEATS_BITS", "MEMORY_BITS", "Bursts", "bytes_of", "run_bits"]

MEMORY_BITS = 32
BEATS_BITS = 9
_PAGE_BITS = 12


class _Beats:
    """A register of bytes that are whole beats.

    Attributes
    ----------
    bytes
        What it holds, with the bits below a beat.
    """

    def __init__(self, name: str, bits: int, shift: int) -> None:
        self._register = Signal(bits - shift, name=f"{name}_beats")
        self._shift = shift
        self.bytes = Signal(bits, name=name)

    def whole(self) -> Value:
        """What it holds."""
        return Cat(Const(0, self._shift), self._register)

    def set(self, value: Value) -> Any:
        """The statement that loads it."""
        return self._register.eq(value[self._shift :])


class Bursts(Shared):
    """One burst after the other of ``count0 * count1`` runs of contiguous bytes.

    Parameters
    ----------
    burst_bytes, bus_bytes
        Longest burst, and bytes of a beat, of which addresses, strides and runs are multiples.
    run_bits
        Width of a run's length in bytes.

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

    def __init__(self, burst_bytes: int, bus_bytes: int, run_bits: int) -> None:
        self._burst_bytes, self._bus_bytes = burst_bytes, bus_bytes
        self._run_bits, self._shift = run_bits, bus_bytes.bit_length() - 1
        super().__init__(
            {
                "start": In(1),
                "address": In(MEMORY_BITS),
                "run_bytes": In(run_bits),
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
            run_bits=run_bits,
        )

    @classmethod
    def of(cls, config: Config) -> Bursts:
        """The bursts of a machine's bus."""
        return cls(config.burst_bytes, config.bus_bytes, run_bits(config))

    def body(self, platform: Any) -> Elaboratable:
        """Where the next burst is, where its run began, and where its outer iteration began."""
        m = Module()
        here, run, outer, *strides = (
            self._beats(m, name, MEMORY_BITS) for name in ("here", "run", "outer", "step0", "step1")
        )
        left, length = (self._beats(m, name, self._run_bits) for name in ("left", "length"))
        m.d.comb += self.burst_address.eq(here.bytes)
        ends, go_on = self._size(m, left.bytes)
        turn, last_turn = self._turns(m, ends)
        jump, target = Signal(MEMORY_BITS), Signal(MEMORY_BITS)
        m.d.comb += [
            self.last.eq(ends & last_turn),
            jump.eq(
                Mux(turn, outer.bytes, run.bytes) + Mux(turn, strides[0].bytes, strides[1].bytes)
            ),
            target.eq(Mux(self.start, self.address, jump)),
        ]
        begins = self.step & ends
        with m.If(self.start):
            m.d.sync += [
                self.active.eq(1),
                length.set(self.run_bytes),
                strides[0].set(self.stride0),
                strides[1].set(self.stride1),
            ]
        with m.Elif(self.step & self.last):
            m.d.sync += self.active.eq(0)
        with m.If(self.clear):
            m.d.sync += self.active.eq(0)
        with m.If(self.start | (begins & turn)):
            m.d.sync += outer.set(target)
        with m.If(self.start | begins):
            m.d.sync += run.set(target)
        with m.If(self.start | self.step):
            m.d.sync += [
                here.set(Mux(self.start | ends, target, go_on[0])),
                left.set(Mux(self.start, self.run_bytes, Mux(ends, length.bytes, go_on[1]))),
            ]
        return m

    def _beats(self, m: Module, name: str, bits: int) -> _Beats:
        beats = _Beats(name, bits, self._shift)
        m.d.comb += beats.bytes.eq(beats.whole())
        return beats

    def _size(self, m: Module, left: Signal) -> tuple[Signal, tuple[Value, Value]]:
        """Length of the burst; whether it ends its run; if not, where and how much goes on.

        A burst that does not end its run ends at a page, or has the longest length.
        """
        here, bits = self.burst_address, self._burst_bytes.bit_length() - 1
        shift = self._bus_bytes.bit_length() - 1
        low, offset = here[:bits], here[shift:_PAGE_BITS]
        room = 1 << (_PAGE_BITS - shift)
        crosses, ends, fits = Signal(), Signal(), Signal()
        size = Signal(_PAGE_BITS + 1)
        behind = left[shift : _PAGE_BITS + 1] + offset  # beats from the page's start to the end
        page = (self._burst_bytes - low)[: bits + 1]
        m.d.comb += [
            crosses.eq(_all(here[bits:_PAGE_BITS]) & low.any()),
            fits.eq(~left[bits + 1 :].any() & ~(left[bits] & left[:bits].any())),
            ends.eq(fits & (behind <= room)),
            size.eq(Mux(ends, left[: _PAGE_BITS + 1], Mux(crosses, page, self._burst_bytes))),
            self.beats.eq(size >> shift),
        ]
        rest = Mux(crosses, low, 0)
        following = Cat(Mux(crosses, 0, low), here[bits:] + 1)[:MEMORY_BITS]
        return ends, (following, (left + rest - self._burst_bytes)[:MEMORY_BITS])

    def _turns(self, m: Module, ends: Signal) -> tuple[Signal, Signal]:
        """Runs to come: whether this is the last of its outer iteration, and of all."""
        left = [Signal(16, name=f"left{level}") for level in range(2)]
        last = [Signal(name=f"last{level}") for level in range(2)]
        inner, single = Signal(16, name="inner_count"), Signal()
        both = Signal(name="last_turn")
        m.d.comb += both.eq(last[0] & last[1])
        with m.If(self.start):
            for level, count in enumerate((self.count0, self.count1)):
                m.d.sync += [left[level].eq(count), last[level].eq(count == 1)]
            m.d.sync += [inner.eq(self.count1), single.eq(self.count1 == 1)]
        with m.Elif(self.step & ends):
            m.d.sync += [
                left[1].eq(Mux(last[1], inner, left[1] - 1)),
                last[1].eq(Mux(last[1], single, left[1] == 2)),
            ]
            with m.If(last[1]):
                m.d.sync += [left[0].eq(left[0] - 1), last[0].eq(left[0] == 2)]
        return last[1], both


def run_bits(config: Config) -> int:
    """Width of the bytes of a run: 16 bits of words, which have up to four operand words each."""
    return 18 + config.word_bytes.bit_length() - 1


def _all(bits: Value) -> Value:
    return bits.all() if len(bits) else Const(1, 1)


def bytes_of(words: Any, word_bytes: int) -> Any:
    """A number of words as bytes, by a shift."""
    return Cat(Const(0, word_bytes.bit_length() - 1), words)
