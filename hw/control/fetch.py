"""FETCH: the program from memory, one instruction at a time (docs/machine.md, section 2)."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Array, Cat, Const, Elaboratable, Module, Mux, Signal, Value
from amaranth.lib.wiring import In, Out

from pulsarray.config import Config
from pulsarray.hw.blocks.memory import Memory1R1W
from pulsarray.hw.blocks.ports import INDEX_BITS
from pulsarray.hw.blocks.shared import Shared
from pulsarray.hw.memory.bursts import BEATS_BITS, MEMORY_BITS
from pulsarray.isa import FORMATS, UNIT_BYTES, Opcode
from pulsarray.registers import ErrorCode

__all__ = ["LONGEST", "Fetch"]

LONGEST = max(form.units for form in FORMATS.values())
"""Longest instruction, in multiples of 32 bytes."""

_UNIT_BITS = 8 * UNIT_BYTES
_COLUMN_BITS = 64
"""A row of the buffer is written in parts of so many bits, or of a beat."""


class Fetch(Shared):
    """Asks for the program, pops it in multiples of 32 bytes, and offers whole instructions.

    Parameters
    ----------
    config
        The machine.

    Members
    -------
    program_address, program_units, running
        Where the program is, its length, and whether to fetch it.
    want, address, beats, grant
        Read request.
    beat_valid, beat_data, beat_error
        A beat of it, and whether it came with an error response.
    unit, shown
        The unit of 32 bytes that was popped last, and which of its instruction it is: one bit.
    valid, opcode, index
        An instruction is ready, its last unit shown, and dispatched in a cycle with ``ready``; END
        is not offered. Opcode and index are there from its first unit on.
    ready
        The queue of the instruction's unit has room.
    state
        What FETCH does, one bit each: busy, queue, memory, idle.
    ended
        END is dispatched in this cycle, or was.
    error, error_index
        As in :func:`pulsarray.hw.unit.unit_members`.
    halt, clear
        Likewise.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        super().__init__(
            {
                "program_address": In(MEMORY_BITS),
                "program_units": In(MEMORY_BITS),
                "running": In(1),
                "want": Out(1),
                "address": Out(MEMORY_BITS),
                "beats": Out(BEATS_BITS),
                "grant": In(1),
                "beat_valid": In(1),
                "beat_data": In(config.bus_bits),
                "beat_error": In(1),
                "valid": Out(1),
                "unit": Out(_UNIT_BITS),
                "shown": Out(LONGEST),
                "opcode": Out(8),
                "index": Out(INDEX_BITS),
                "ready": In(1),
                "state": Out(4),
                "ended": Out(1),
                "error": Out(4),
                "error_index": Out(INDEX_BITS),
                "halt": In(1),
                "clear": In(1),
            },
            bus_bits=config.bus_bits,
            fetch_bytes=config.fetch_bytes,
        )

    def body(self, platform: Any) -> Elaboratable:
        """Requests, a buffer of two fetches, and the gathering of instructions."""
        m = Module()
        pop, was_end = Signal(), Signal()
        self._taken = Signal(MEMORY_BITS, name="taken")  # units that were popped
        unit, level = self._buffer(m, pop)
        self._requests(m, pop, was_end)
        self._gather(m, unit, level, pop, was_end)
        return m

    def _requests(self, m: Module, pop: Value, was_end: Value) -> None:
        """One fetch may be asked for in advance of the one that is being popped."""
        units = self._config.fetch_bytes // UNIT_BYTES
        part = units.bit_length() - 1
        fetches = Signal(MEMORY_BITS)
        asked, ahead = Signal(MEMORY_BITS), Signal(range(3), init=2)
        passes = pop & (self._taken[:part] == units - 1)  # a fetch's last unit
        m.d.comb += [
            fetches.eq(self.program_units[part:] + self.program_units[:part].any()),
            self.want.eq(self.running & (asked != fetches) & (ahead != 0) & ~was_end & ~self.halt),
            self.address.eq(self.program_address + asked * self._config.fetch_bytes),
            self.beats.eq(self._config.fetch_bytes // self._config.bus_bytes),
        ]
        with m.If(self.grant):
            m.d.sync += asked.eq(asked + 1)
        m.d.sync += ahead.eq(ahead + passes - self.grant)
        with m.If(self.clear):
            m.d.sync += [asked.eq(0), ahead.eq(2)]

    def _buffer(self, m: Module, pop: Value) -> tuple[Value, Signal]:
        """Units of 32 bytes: the one popped in the cycle before, and how many are there."""
        config = self._config
        row_bytes = max(config.bus_bytes, UNIT_BYTES)
        rows = 2 * config.fetch_bytes // row_bytes
        width = max(config.bus_bits, _COLUMN_BITS)
        columns = [Memory1R1W(width, max(2, rows)) for _ in range(8 * row_bytes // width)]
        write, whole = self._pack(m, columns)
        per_row = row_bytes // UNIT_BYTES
        # Rows, and units in a row, are powers of two: their places are bits of the count of units.
        lanes = per_row.bit_length() - 1
        lane, read = self._taken[:lanes], self._taken[lanes:][: (rows - 1).bit_length()]
        shown = Signal(range(per_row))
        level = Signal(range(2 * config.fetch_bytes // UNIT_BYTES + 1))
        for column in columns:
            m.d.comb += [column.read_enable.eq(pop), column.read_address.eq(read)]
        m.d.sync += level.eq(level + Mux(whole, per_row, 0) - pop)
        with m.If(pop):
            m.d.sync += shown.eq(lane)
        with m.If(whole):
            m.d.sync += write.eq(Mux(write == rows - 1, 0, write + 1))
        with m.If(self.clear):
            m.d.sync += [level.eq(0), write.eq(0)]
        row = Cat(column.read_data for column in columns)
        units = [row[_UNIT_BITS * i :][:_UNIT_BITS] for i in range(per_row)]
        return Array(units)[shown], level

    def _pack(self, m: Module, columns: list[Memory1R1W]) -> tuple[Signal, Signal]:
        """Beats into rows of at least a unit; returns the row to write and when it is whole."""
        config = self._config
        rows = 2 * config.fetch_bytes // max(config.bus_bytes, UNIT_BYTES)
        write, whole = Signal(range(max(2, rows))), Signal()
        each = columns[0].write_data.shape().width // config.bus_bits
        beats = each * len(columns)
        place = Signal(range(beats))
        with m.If(self.beat_valid):
            m.d.sync += place.eq(Mux(place == beats - 1, 0, place + 1))
        m.d.comb += whole.eq(self.beat_valid & (place == beats - 1))
        row: Value = self.beat_data
        if each > 1:
            earlier = Signal(config.bus_bits * (each - 1))
            row = Cat(earlier, self.beat_data)
            with m.If(self.beat_valid):
                m.d.sync += earlier.eq(row[config.bus_bits :])
        for number, column in enumerate(columns):
            m.submodules[f"column{number}"] = column
            m.d.comb += [
                column.write_enable.eq(self.beat_valid & (place == each * (number + 1) - 1)),
                column.write_address.eq(write),
                column.write_data.eq(row),
            ]
        with m.If(self.clear):
            m.d.sync += place.eq(0)
        return write, whole

    def _gather(self, m: Module, unit: Value, level: Value, pop: Signal, was_end: Signal) -> None:
        """The units of one instruction, dispatched in the cycle after the last is popped."""
        have = Signal(range(LONGEST + 1))
        taken = self._taken
        header, kept = Signal(16, name="header"), Signal(16, name="kept_header")
        m.d.comb += [
            self.unit.eq(unit),
            self.shown.eq(Cat(have == number + 1 for number in range(LONGEST))),
            header.eq(Mux(self.shown[0], unit, kept)),
            self.opcode.eq(header),
        ]
        m.d.sync += kept.eq(header)
        needed, legal = self._length(m, header)
        whole = (have != 0) & (have == needed)
        dispatch = Signal()
        is_end = self.opcode == Opcode.END
        ended = Signal()
        m.d.comb += [
            was_end.eq((have != 0) & legal & is_end | ended),
            self.ended.eq(was_end),
            self.valid.eq(whole & legal & ~is_end & ~self.halt & ~ended),
            dispatch.eq(self.valid & self.ready),
            pop.eq(
                (level != 0)
                & ((have == 0) | (have < needed) | dispatch)
                & ~was_end
                & self.running
                & ~self.halt
                & (taken != self.program_units)
            ),
        ]
        with m.If(pop):
            m.d.sync += taken.eq(taken + 1)
        m.d.sync += have.eq(Mux(dispatch, 0, have) + pop)
        with m.If(dispatch):
            m.d.sync += self.index.eq(self.index + 1)
        with m.If(was_end):
            m.d.sync += ended.eq(1)
        self._errors(m, whole & ~legal, (taken == self.program_units) & (have < needed) & ~was_end)
        with m.If(was_end):
            m.d.comb += self.state.eq(8)
        with m.Elif(pop):
            m.d.comb += self.state.eq(1)
        with m.Elif(self.valid & ~self.ready):
            m.d.comb += self.state.eq(2)
        with m.Else():
            m.d.comb += self.state.eq(4)
        with m.If(self.clear):
            m.d.sync += [s.eq(0) for s in (have, taken, self.index, ended)]

    def _length(self, m: Module, header: Value) -> tuple[Signal, Signal]:
        """Units of the instruction whose first unit is there, and whether it is a legal one."""
        needed, legal = Signal(range(LONGEST + 1), init=1), Signal()
        m.d.comb += needed.eq(1)
        for form in FORMATS.values():
            with m.If(header == Cat(Const(form.opcode, 8), Const(form.units, 8))):
                m.d.comb += [needed.eq(form.units), legal.eq(1)]
        return needed, legal

    def _errors(self, m: Module, illegal: Value, missing: Value) -> None:
        """The one with the lowest code comes last."""
        m.d.comb += self.error_index.eq((1 << INDEX_BITS) - 1)
        with m.If(missing & self.running):
            m.d.comb += self.error.eq(ErrorCode.PROGRAM_END)
        with m.If(self.beat_valid & self.beat_error):
            m.d.comb += self.error.eq(ErrorCode.AXI_READ)
        with m.If(illegal):
            m.d.comb += [self.error.eq(ErrorCode.ILLEGAL_OPCODE), self.error_index.eq(self.index)]
