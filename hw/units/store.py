"""STORE: words of a bank to memory (docs/machine.md, STORE)."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Elaboratable, Module, Mux, Signal, Value, signed
from amaranth.lib.wiring import Out

from pulsarray.config import SEMAPHORES, Config
from pulsarray.hw.blocks.addressing import AddressGenerator
from pulsarray.hw.blocks.fields import fields
from pulsarray.hw.blocks.fifo import Fifo
from pulsarray.hw.blocks.ports import BANK_BITS, INDEX_BITS, ReadPort
from pulsarray.hw.blocks.shared import Shared
from pulsarray.hw.control.sequencer import unit_members
from pulsarray.hw.memory.axi import axi4_write
from pulsarray.hw.memory.bursts import BEATS_BITS, Bursts
from pulsarray.hw.units.load import start_bursts, wrong_transfer
from pulsarray.isa import FORMATS, Bank, Opcode
from pulsarray.registers import ErrorCode

__all__ = ["StoreUnit"]

_FORMAT = FORMATS[Opcode.STORE]


class StoreUnit(Shared):
    """A slot a beat: the slot reads the word, one cycle later its beat is cut out, then sent.

    All three stages stand still while the bus does not take a beat. After an error the burst that
    has begun is finished with beats that write nothing.

    Parameters
    ----------
    config
        The machine.

    Members
    -------
    port
        Read port.
    axi
        The write channels.
    idle
        No burst is outstanding and nothing is on the bus.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        super().__init__(
            {
                **unit_members(8 * _FORMAT.bytes),
                "port": Out(
                    ReadPort(
                        dim=config.dim,
                        operand_bits=config.operand_bits,
                        acc_bits=config.acc_bits,
                    )
                ),
                "axi": Out(axi4_write(config)),
                "idle": Out(1),
            },
            dim=config.dim,
            operand_bits=config.operand_bits,
            acc_bits=config.acc_bits,
            bus_bits=config.bus_bits,
            burst_beats=config.burst_beats,
            outstanding=config.outstanding,
            scratchpads=config.scratchpad_banks,
            accumulators=config.accumulator_banks,
        )

    def body(self, platform: Any) -> Elaboratable:
        """Bursts in front, beats behind, responses at the end."""
        m = Module()
        want = fields(_FORMAT, self.instruction)
        self._bank = Signal(BANK_BITS)
        self._tag = Signal(INDEX_BITS + SEMAPHORES)
        self._wrong = Signal()  # the instruction is refused: it asks for nothing
        m.submodules.bursts = bursts = Bursts.of(self._config)
        start_bursts(m, bursts, self.start, want, self._config)
        m.d.comb += bursts.clear.eq(self.clear)
        words = self._words(m, want)
        room, begin = self._responses(m, bursts)
        self._slots(m, bursts, words, room, begin)
        self._check(m, want)
        return m

    def _check(self, m: Module, want: dict[str, Value]) -> None:
        """BAD_FIELD when the instruction starts; it has a lower code than AXI_WRITE."""
        config, bank = self._config, want["bank"]
        last = Bank.ACCUMULATOR + config.accumulator_banks
        known = (bank < config.scratchpad_banks) | ((bank >= Bank.ACCUMULATOR) & (bank < last))
        with m.If(self.start & (~known | wrong_transfer(want, config))):
            m.d.comb += [self.error.eq(ErrorCode.BAD_FIELD), self.error_index.eq(self.index)]
            m.d.sync += self._wrong.eq(1)
        with m.If(self.clear):
            m.d.sync += self._wrong.eq(0)
        with m.If(self.start):
            m.d.sync += [
                self._bank.eq(bank),
                self._tag.eq(Cat(self.index, want["signal"])),
            ]

    def _words(self, m: Module, want: dict[str, Value]) -> AddressGenerator:
        """Loops over the words of the bank."""
        m.submodules.words = words = AddressGenerator(levels=3, streams=1)
        m.d.comb += [
            words.start.eq(self.start),
            words.clear.eq(self.clear),
            words.bases[0].eq(want["local"]),
            *(words.counts[i].eq(want[f"count{i}"]) for i in range(2)),
            *(words.strides[0][i].eq(want[f"local_stride{i}"]) for i in range(2)),
            words.counts[2].eq(want["run"]),
            words.strides[0][2].eq(1),
        ]
        return words

    def _responses(self, m: Module, bursts: Bursts) -> tuple[Signal, Signal]:
        """Owners of the bursts that are outstanding; returns whether one more may begin, and
        the signal that says that it does.
        """
        axi, places = self.axi, self._config.outstanding
        width = len(self._tag) + 1
        m.submodules.owners = owners = Fifo(width, places)
        room, begin, done = Signal(), Signal(), Signal()
        owner = Signal(width)
        started = Signal(range(places + 3))
        m.d.comb += [
            room.eq(
                (owners.level != places) & (~axi.awvalid | axi.awready) & ~self.halt & ~self._wrong
            ),
            axi.bready.eq(1),
            done.eq(axi.bvalid),
            owner.eq(owners.head),
            owners.push.eq(begin),
            owners.entering.eq(Cat(self._tag, bursts.last)),
            owners.pop.eq(done),
            self.complete.eq(done & owner[-1]),
            self.complete_index.eq(owner[:INDEX_BITS]),
            self.complete_signal.eq(owner[INDEX_BITS:-1]),
            self.busy.eq(started != 0),
            axi.awsize.eq(self._config.bus_bytes.bit_length() - 1),
            axi.awburst.eq(1),
            axi.awcache.eq(0b0011),
        ]
        with m.If(done & (axi.bresp != 0)):
            m.d.comb += [self.error.eq(ErrorCode.AXI_WRITE), self.error_index.eq(owner)]
        with m.If(begin):
            m.d.sync += [
                axi.awvalid.eq(1),
                axi.awaddr.eq(bursts.burst_address),
                axi.awlen.eq(bursts.beats - 1),
            ]
        with m.Elif(axi.awready):
            m.d.sync += axi.awvalid.eq(0)
        m.d.sync += started.eq(started + self.start - self.complete)
        with m.If(self.clear):
            m.d.sync += started.eq(0)
        m.d.comb += self.idle.eq((owners.level == 0) & ~axi.awvalid & ~axi.wvalid)
        return room, begin

    def _slots(
        self, m: Module, bursts: Bursts, words: AddressGenerator, room: Signal, begin: Signal
    ) -> None:
        """The beat slots of the front, and the two stages behind them."""
        config, axi = self._config, self.axi
        left = Signal(BEATS_BITS)  # beats of the burst that has begun, after this slot
        final = Signal()  # that burst is the instruction's last
        move, slot = Signal(), Signal()
        beats = config.beats_per_word
        wide = self._bank >= Bank.ACCUMULATOR
        place = Signal(range(4 * beats))
        top = Mux(wide, 4 * beats - 1, beats - 1)
        ends = Mux(left != 0, (left == 1) & final, begin & bursts.last & (bursts.beats == 1))
        m.d.comb += [
            move.eq(~axi.wvalid | axi.wready),
            begin.eq(bursts.active & (left == 0) & room & move),
            bursts.step.eq(begin),
            slot.eq(move & ((left != 0) | begin)),
            self.active.eq(bursts.active | (left != 0)),
            self.stall.eq(self.active & ~slot),
            self.ready.eq(~self.active | (slot & ends)),
            self.port.enable.eq(slot & (place == 0)),
            self.port.bank.eq(self._bank),
            self.port.address.eq(words.addresses[0]),
            self.port.hold.eq(self.active),
            words.step.eq(slot & (place == top)),
        ]
        with m.If(begin):
            m.d.sync += [left.eq(bursts.beats - 1), final.eq(bursts.last)]
        with m.Elif(slot):
            m.d.sync += left.eq(left - 1)
        with m.If(slot):
            m.d.sync += place.eq(Mux(place == top, 0, place + 1))
        with m.If(self.clear):
            m.d.sync += [left.eq(0), place.eq(0)]
        last = Mux(left != 0, left == 1, bursts.beats == 1)
        self._send(m, move, slot, place, last)

    def _send(self, m: Module, move: Signal, slot: Signal, place: Signal, last: Value) -> None:
        """Cut the beat out of the word that was read for it, and send it."""
        config, axi = self._config, self.axi
        cut, fresh, end, wide = Signal(), Signal(), Signal(), Signal()
        which = Signal.like(place)
        kept, beat = Signal(config.bus_bits), Signal(config.bus_bits)
        word = Signal(8 * config.acc_word_bytes)
        m.d.comb += [
            word.eq(Mux(wide, self._sums(m), self._operands())),
            beat.eq(Mux(fresh, word.word_select(which, config.bus_bits), kept)),
        ]
        # The bank keeps the word while it is held for the slots; behind the last one, for a cycle.
        with m.If(fresh):
            m.d.sync += [kept.eq(beat), fresh.eq(0)]
        with m.If(move):
            m.d.sync += [
                cut.eq(slot),
                which.eq(place),
                end.eq(last),
                fresh.eq(slot),
                wide.eq(self._bank >= Bank.ACCUMULATOR),
                axi.wvalid.eq(cut),
                axi.wlast.eq(end),
                axi.wstrb.eq(Mux(self.halt, 0, (1 << config.bus_bytes) - 1)),
                axi.wdata.eq(beat),
            ]

    def _operands(self) -> Value:
        """An operand word as its bytes in memory."""
        return self.port.word.as_value()

    def _sums(self, m: Module) -> Value:
        """An accumulator word as its bytes in memory: every sum sign-extended to its slot."""
        config = self._config
        slots = []
        for lane in range(config.dim):
            slot = Signal(signed(8 * config.acc_slot_bytes), name=f"slot{lane}")
            m.d.comb += slot.eq(self.port.sums[lane])
            slots.append(slot)
        return Cat(*slots)
