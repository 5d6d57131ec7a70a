"""WEIGHT: tiles of weights from a scratchpad bank to the array's shadow registers."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Const, Elaboratable, Module, Mux, Signal, Value, signed
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from pulsarray.config import SEMAPHORES, Config
from pulsarray.hw.blocks.addressing import AddressGenerator
from pulsarray.hw.blocks.fields import fields
from pulsarray.hw.blocks.ports import INDEX_BITS, ReadPort
from pulsarray.hw.blocks.shared import Shared
from pulsarray.hw.control.sequencer import unit_members
from pulsarray.hw.units.transposer import Transposer
from pulsarray.isa import FORMATS, Opcode, WeightFlag
from pulsarray.registers import ErrorCode

__all__ = ["WeightUnit"]

_FORMAT = FORMATS[Opcode.WEIGHT]


class WeightUnit(Shared):
    """Reads tiles and emits them when the shadow is free (docs/machine.md, WEIGHT).

    A tile through the transposer is read ahead: it waits there, whole, until it may be emitted.

    Parameters
    ----------
    dim, operand_bits, acc_bits
        D, and widths of lanes.
    banks
        Scratchpad banks.
    transposer
        Whether there is one.

    Members
    -------
    port
        Scratchpad read port.
    w, w_row, w_valid
        The array's top face.
    loaded
        A whole tile is in the shadow: a pass may take it in this cycle.
    begun
        A tile's emission begins or has begun: a transposed pass may take it in this cycle.
    take
        A pass takes the tile in this cycle (it may depend on ``loaded`` and ``begun``).
    release_now
        In the cycle of ``take``: the shadow is free in this very cycle.
    release_later
        The shadow of a tile taken before, by a transposed pass, is free from this cycle on.
    """

    def __init__(self, config: Config) -> None:
        self._dim, self._operand_bits = config.dim, config.operand_bits
        self._banks, self._transposer = config.scratchpad_banks, config.transposer
        port = ReadPort(dim=config.dim, operand_bits=config.operand_bits, acc_bits=config.acc_bits)
        super().__init__(
            {
                **unit_members(8 * _FORMAT.bytes),
                "port": Out(port),
                "w": Out(data.ArrayLayout(signed(config.operand_bits), config.dim)),
                "w_row": Out(range(config.dim)),
                "w_valid": Out(1),
                "loaded": Out(1),
                "begun": Out(1),
                "take": In(1),
                "release_now": In(1),
                "release_later": In(1),
            },
            dim=config.dim,
            operand_bits=config.operand_bits,
            acc_bits=config.acc_bits,
            banks=config.scratchpad_banks,
            transposer=config.transposer,
        )

    def body(self, platform: Any) -> Elaboratable:
        """Reading in front, emission behind, and between them perhaps the transposer."""
        m = Module()
        self._wanted = fields(_FORMAT, self.instruction)
        self._transposed = Signal()
        self._bank = Signal(8)
        self._owner = Signal(INDEX_BITS)
        self._signal = Signal(SEMAPHORES)
        self._check(m)
        generator = self._generator(m)
        read, emit, emit_row = self._schedule(m, generator)
        self._face(m, generator, read, emit, emit_row)
        return m

    def _check(self, m: Module) -> None:
        """BAD_FIELD when the instruction starts."""
        want = self._wanted
        known = WeightFlag.TRANSPOSE if self._transposer else 0
        bad = (
            (want["bank"] >= self._banks)
            | (want["flags"] & ~Const(known, 8)).any()
            | (want["count0"] == 0)
            | (want["count1"] == 0)
        )
        with m.If(self.start & bad):
            m.d.comb += [self.error.eq(ErrorCode.BAD_FIELD), self.error_index.eq(self.index)]
        with m.If(self.start):
            m.d.sync += [
                self._bank.eq(want["bank"]),
                self._transposed.eq(want["flags"][0]),
                self._owner.eq(self.index),
                self._signal.eq(want["signal"]),
            ]

    def _generator(self, m: Module) -> AddressGenerator:
        """Loops over tiles, and inside them over the rows of a tile."""
        want = self._wanted
        m.submodules.rows = generator = AddressGenerator(levels=3, streams=1, window=True)
        levels = ("count0", "count1")
        m.d.comb += [
            generator.start.eq(self.start),
            generator.clear.eq(self.clear),
            *(generator.counts[i].eq(want[name]) for i, name in enumerate(levels)),
            generator.counts[2].eq(self._dim),
            generator.bases[0].eq(want["local"]),
            *(generator.strides[0][i].eq(want[f"stride{i}"]) for i in range(2)),
            generator.strides[0][2].eq(want["row_stride"]),
            generator.row_start.eq(want["row_start"]),
            *(generator.row_steps[i].eq(want[f"row_step{i}"]) for i in range(2)),
            generator.row_steps[2].eq(1),
            generator.row_limit.eq(want["row_limit"]),
            generator.column_limit.eq(1),
        ]
        return generator

    def _schedule(self, m: Module, rows: AddressGenerator) -> tuple[Signal, Signal, Signal]:
        """When rows are read and when they are emitted.

        Returns whether a row is read in this cycle, and whether a row of the tile in the
        transposer is emitted in this cycle, and which.
        """
        occupied = Signal()  # a tile was emitted whose pass has not released it yet
        waiting = Signal()  # a tile begun through the transposer, not yet emitted
        emitting = Signal()  # rows after the first are being emitted from the transposer
        emit_row = Signal(range(self._dim))
        free_early = Signal()
        free = Signal()
        m.d.comb += [
            free_early.eq(~occupied | self.release_later),
            free.eq(free_early | (self.take & self.release_now)),
        ]
        first = rows.active & rows.zero[2]
        whole = Signal()  # the tile in the transposer has been read to its last row
        ready = waiting & whole & ~emitting
        emit_start = Signal()
        plain_ready = first & ~self._transposed & ~waiting & ~emitting & ~self.halt
        plain_start = Signal()
        m.d.comb += [
            emit_start.eq(ready & free),
            plain_start.eq(plain_ready & free),
        ]
        transposed_start = first & self._transposed & (~waiting | emit_start) & ~self.halt
        read = Signal()
        follows = rows.active & ~rows.zero[2] & ~self.halt
        m.d.comb += read.eq(follows | plain_start | transposed_start)
        emit = Signal()
        m.d.comb += [
            rows.step.eq(read),
            emit.eq(emit_start | emitting),
            self.active.eq(rows.active),
            self.stall.eq(rows.active & ~read),
            self.ready.eq(~rows.active | (read & rows.done)),
        ]
        with m.If(transposed_start):
            m.d.sync += waiting.eq(1)
        with m.Elif(emit_start):
            m.d.sync += waiting.eq(0)
        with m.If(read & self._transposed):
            m.d.sync += whole.eq(rows.last[2])
        with m.Elif(emit_start):
            m.d.sync += whole.eq(0)
        with m.If(emit):
            last = emit_row == self._dim - 1
            m.d.sync += [emitting.eq(~last), emit_row.eq(Mux(last, 0, emit_row + 1))]
        self._hand_over(
            m,
            rows,
            occupied,
            (emit_start, plain_start),
            (ready & free_early, plain_ready & free_early),
            emitting,
        )
        self._complete(m, rows, read, emit, emit_row, emit_start)
        with m.If(self.clear):
            m.d.sync += [s.eq(0) for s in (occupied, waiting, emitting, emit_row, whole)]
        return read, emit, emit_row

    def _hand_over(
        self,
        m: Module,
        rows: AddressGenerator,
        occupied: Signal,
        starts: tuple[Value, Value],
        early: tuple[Value, Value],
        emitting: Signal,
    ) -> None:
        """Tell STREAM of the tile in the shadow, and hear when it is gone."""
        begun = Signal()  # emission has begun and no pass has taken the tile
        partial = Signal()
        plain_rows = rows.active & ~self._transposed & ~rows.zero[2]
        m.d.comb += [
            partial.eq(emitting | plain_rows),
            self.begun.eq(begun | early[0] | early[1]),
            self.loaded.eq(begun & ~partial),
        ]
        start = starts[0] | starts[1]
        m.d.sync += begun.eq((begun | start) & ~self.take)
        # A plain pass frees the shadow when it takes the tile before: the emission that this lets
        # begin in the same cycle is of the next tile, which nobody has taken.
        with m.If(start & self.take & self.release_now):
            m.d.sync += begun.eq(1)
        with m.If(start):
            m.d.sync += occupied.eq(1)
        with m.Elif(self.release_later | (self.take & self.release_now)):
            m.d.sync += occupied.eq(0)
        with m.If(self.clear):
            m.d.sync += begun.eq(0)

    def _complete(
        self,
        m: Module,
        rows: AddressGenerator,
        read: Value,
        emit: Value,
        emit_row: Value,
        emit_start: Value,
    ) -> None:
        """Completion in the cycle after the emission of an instruction's last row."""
        held = Signal(INDEX_BITS + SEMAPHORES)  # owner of the tile in the transposer
        held_last = Signal()
        sent = Signal(INDEX_BITS + SEMAPHORES)  # owner of the tile that is being emitted
        sent_last = Signal()
        owner = Signal(INDEX_BITS + SEMAPHORES)
        started = Signal(range(4))
        m.d.comb += owner.eq(self._owner | (self._signal << INDEX_BITS))
        with m.If(read & self._transposed):
            m.d.sync += [held.eq(owner), held_last.eq(rows.last[0] & rows.last[1])]
        with m.If(emit_start):
            m.d.sync += [sent.eq(held), sent_last.eq(held_last)]
        ended = Signal(INDEX_BITS + SEMAPHORES)
        m.d.sync += self.complete.eq(0)
        with m.If(read & ~self._transposed & rows.done):
            m.d.sync += [self.complete.eq(1), ended.eq(owner)]
        with m.If(emit & (emit_row == self._dim - 1) & sent_last):
            m.d.sync += [self.complete.eq(1), ended.eq(sent)]
        m.d.comb += [
            self.complete_index.eq(ended[:INDEX_BITS]),
            self.complete_signal.eq(ended[INDEX_BITS:]),
            self.busy.eq(started != 0),
        ]
        m.d.sync += started.eq(started + self.start - self.complete)
        with m.If(self.clear):
            m.d.sync += [started.eq(0), self.complete.eq(0)]

    def _face(
        self, m: Module, rows: AddressGenerator, read: Value, emit: Value, emit_row: Value
    ) -> None:
        """The rows that were read or emitted in the cycle before, on the array's top face."""
        was_read, inside, row = Signal(), Signal(), Signal(range(self._dim))
        was_transposed, was_emitted = Signal(), Signal()
        next_row = Signal(range(self._dim))
        m.d.comb += [
            self.port.enable.eq(read & rows.inside),
            self.port.bank.eq(self._bank),
            self.port.address.eq(rows.addresses[0]),
            self.port.hold.eq(rows.active),
        ]
        with m.If(read & ~self._transposed):
            m.d.sync += next_row.eq(Mux(rows.last[2], 0, next_row + 1))
        m.d.sync += [
            was_read.eq(read),
            inside.eq(rows.inside),
            was_transposed.eq(self._transposed),
            was_emitted.eq(emit),
            row.eq(Mux(emit, emit_row, next_row)),
        ]
        word = Signal.like(self.w)
        m.d.comb += word.eq(Mux(inside, self.port.word.as_value(), 0))
        m.d.comb += [
            self.w.eq(word),
            self.w_row.eq(row),
            self.w_valid.eq((was_read & ~was_transposed) | was_emitted),
        ]
        if self._transposer:
            m.submodules.transposer = transposer = Transposer(self._dim, self._operand_bits)
            m.d.comb += [
                transposer.in_valid.eq(was_read & was_transposed),
                transposer.in_data.eq(word),
                transposer.out_enable.eq(was_emitted),
                transposer.clear.eq(self.clear),
            ]
            with m.If(was_emitted):
                m.d.comb += self.w.eq(transposer.out_data)
        with m.If(self.clear):
            m.d.sync += [was_read.eq(0), was_emitted.eq(0), next_row.eq(0)]
