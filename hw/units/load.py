"""LOAD: words from memory into a bank (docs/machine.md, LOAD)."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Elaboratable, Module, Mux, Signal, Value
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from pulsarray.config import SEMAPHORES, Config
from pulsarray.hw.blocks.addressing import AddressGenerator
from pulsarray.hw.blocks.fields import fields
from pulsarray.hw.blocks.ports import ADDRESS_BITS, BANK_BITS, INDEX_BITS
from pulsarray.hw.blocks.prefetch import PrefetchFifo
from pulsarray.hw.blocks.shared import Shared
from pulsarray.hw.control.sequencer import unit_members
from pulsarray.hw.memory.bursts import BEATS_BITS, MEMORY_BITS, Bursts, bytes_of
from pulsarray.isa import FORMATS, Bank, Opcode
from pulsarray.registers import ErrorCode

__all__ = ["LoadUnit", "start_bursts", "wrong_transfer"]

_FORMAT = FORMATS[Opcode.LOAD]


def start_bursts(
    m: Module, bursts: Bursts, start: Value, want: dict[str, Value], config: Config
) -> None:
    """Begin the bursts of a LOAD or STORE."""
    word = config.word_bytes
    wide = (want["bank"] >= Bank.ACCUMULATOR) & (want["bank"] < Bank.TABLE)
    m.d.comb += [
        bursts.start.eq(start),
        bursts.address.eq(want["address"]),
        bursts.run_bytes.eq(bytes_of(Mux(wide, want["run"] << 2, want["run"]), word)),
        *(getattr(bursts, f"count{i}").eq(want[f"count{i}"]) for i in range(2)),
        *(
            getattr(bursts, f"stride{i}").eq(bytes_of(want[f"memory_stride{i}"], word))
            for i in range(2)
        ),
    ]


def wrong_transfer(want: dict[str, Value], config: Config) -> Value:
    """Whether a LOAD's or STORE's counts or alignment break a rule."""
    wide = (want["bank"] >= Bank.ACCUMULATOR) & (want["bank"] < Bank.TABLE)
    bits = config.word_bytes.bit_length() - 1
    odd = want["address"][bits : bits + 2].any()
    for level in range(2):
        odd = odd | (want[f"memory_stride{level}"][:2].any() & (want[f"count{level}"] != 1))
    return (
        (want["run"] == 0)
        | (want["count0"] == 0)
        | (want["count1"] == 0)
        | want["address"][:bits].any()
        | (wide & odd)
    )


class LoadUnit(Shared):
    """Asks for bursts in front, and behind takes beats, packs them into words and writes them.

    Parameters
    ----------
    config
        The machine.

    Members
    -------
    want, address, beats, grant
        Read request.
    beat_valid, beat_data, beat_error
        A beat of it, and whether it came with an error response.
    out_enable, out_bank, out_address, out_hold, out_raw
        A word for a bank of any class, as its bytes in memory, least significant first.
    address_error
        The word is outside its parameter or table bank.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        super().__init__(
            {
                **unit_members(8 * _FORMAT.bytes),
                "want": Out(1),
                "address": Out(MEMORY_BITS),
                "beats": Out(BEATS_BITS),
                "grant": In(1),
                "beat_valid": In(1),
                "beat_data": In(config.bus_bits),
                "beat_error": In(1),
                "out_enable": Out(1),
                "out_bank": Out(BANK_BITS),
                "out_address": Out(ADDRESS_BITS),
                "out_hold": Out(1),
                "out_raw": Out(8 * config.acc_word_bytes),
            },
            dim=config.dim,
            operand_bits=config.operand_bits,
            bus_bits=config.bus_bits,
            burst_beats=config.burst_beats,
            outstanding=config.outstanding,
            scratchpads=config.scratchpad_banks,
            accumulators=config.accumulator_banks,
            tables=config.tables,
            queue_blocks=config.queue_blocks,
        )

    def body(self, platform: Any) -> Elaboratable:
        """The request side may be several instructions ahead of the receiving side."""
        m = Module()
        want = fields(_FORMAT, self.instruction)
        m.submodules.bursts = bursts = Bursts.of(self._config)
        start_bursts(m, bursts, self.start, want, self._config)
        wrong = Signal()  # the instruction is refused: it asks for nothing
        m.d.comb += [
            self.want.eq(bursts.active & ~self.halt & ~wrong),
            self.address.eq(bursts.burst_address),
            self.beats.eq(bursts.beats),
            bursts.step.eq(self.grant),
            bursts.clear.eq(self.clear),
            self.active.eq(bursts.active),
            self.stall.eq(bursts.active & ~self.grant),
            self.ready.eq(~bursts.active | (self.grant & bursts.last)),
        ]
        words, head = self._receive(m, want)
        self._write(m, words, head)
        self._check(m, want, head, wrong)
        return m

    def _check(self, m: Module, want: dict[str, Value], head: Any, wrong: Signal) -> None:
        """AXI_READ with a beat; BAD_FIELD when the instruction starts, which has a lower code."""
        config, bank = self._config, want["bank"]
        known = (
            (bank < config.scratchpad_banks)
            | ((bank >= Bank.ACCUMULATOR) & (bank < Bank.ACCUMULATOR + config.accumulator_banks))
            | (bank == Bank.PARAMETER)
        )
        if config.tables:
            known = known | (bank == Bank.TABLE)
        with m.If(self.beat_valid & self.beat_error):
            m.d.comb += [self.error.eq(ErrorCode.AXI_READ), self.error_index.eq(head.index)]
        with m.If(self.start & (~known | wrong_transfer(want, config))):
            m.d.comb += [self.error.eq(ErrorCode.BAD_FIELD), self.error_index.eq(self.index)]
            m.d.sync += wrong.eq(1)
        with m.If(self.clear):
            m.d.sync += wrong.eq(0)

    def _receive(self, m: Module, want: dict[str, Value]) -> tuple[AddressGenerator, Any]:
        """Loops of the words that come next, from a queue of the transfers that have started.

        The first beat comes three cycles after the start at the earliest, as its words are known.
        """
        entry = data.StructLayout(
            {
                "index": INDEX_BITS,
                "signal": SEMAPHORES,
                "bank": BANK_BITS,
                "local": ADDRESS_BITS,
                "run": 16,
                **{f"count{i}": 16 for i in range(2)},
                **{f"stride{i}": 16 for i in range(2)},
            }
        )
        config = self._config
        transfers = PrefetchFifo(entry.size, config.outstanding + 2, blocks=config.queue_blocks)
        m.submodules.transfers = transfers
        entering: Any = Signal(entry)
        following: Any = Signal(entry)
        m.submodules.words = words = AddressGenerator(levels=3, streams=1)
        pop = Signal()
        m.d.comb += [
            pop.eq(transfers.valid & (~words.active | (words.step & words.done))),
            words.start.eq(pop),
            words.clear.eq(self.clear),
            words.bases[0].eq(following.local),
            *(words.counts[i].eq(following[f"count{i}"]) for i in range(2)),
            *(words.strides[0][i].eq(following[f"stride{i}"]) for i in range(2)),
            words.counts[2].eq(following.run),
            words.strides[0][2].eq(1),
        ]
        m.d.comb += [
            following.eq(transfers.head),
            entering.index.eq(self.index),
            *(entering[name].eq(want[name]) for name in ("signal", "bank", "local", "run")),
            *(entering[f"count{i}"].eq(want[f"count{i}"]) for i in range(2)),
            *(entering[f"stride{i}"].eq(want[f"local_stride{i}"]) for i in range(2)),
            transfers.push.eq(self.start),
            transfers.entering.eq(entering),
            transfers.pop.eq(pop),
            transfers.clear.eq(self.clear),
        ]
        head = Signal(entry, name="head")
        with m.If(pop):
            m.d.sync += head.eq(following)
        return words, head

    def _write(self, m: Module, words: AddressGenerator, head: Any) -> None:
        """Beats into words; a word is written in the cycle after its last beat."""
        config = self._config
        beats = 4 * config.beats_per_word
        wide = (head.bank >= Bank.ACCUMULATOR) & (head.bank < Bank.TABLE)
        place = Signal(range(beats))
        whole = Signal()
        started = Signal(range(config.outstanding + 4))
        between, begun = Signal(), Signal()
        m.d.comb += [
            whole.eq(
                self.beat_valid
                & (place == Mux(wide, beats - 1, config.beats_per_word - 1))
                & ~self.halt
            ),
            words.step.eq(whole & words.active),
            begun.eq(started != 0),
            self.busy.eq(begun),
            self.out_hold.eq(self.out_enable | between),
        ]
        with m.If(self.beat_valid):
            m.d.sync += place.eq(Mux(whole, 0, place + 1))
            for number in range(beats):
                with m.If(place == number):
                    m.d.sync += self.out_raw[
                        number * config.bus_bits : (number + 1) * config.bus_bits
                    ].eq(self.beat_data)
        m.d.sync += [
            self.out_enable.eq(whole),
            self.complete.eq(whole & words.done),
            started.eq(started + self.start - self.complete),
        ]
        with m.If(whole):
            m.d.sync += [
                Cat(self.out_bank, self.out_address).eq(Cat(head.bank, words.addresses[0])),
                self.complete_index.eq(head.index),
                self.complete_signal.eq(head.signal),
                between.eq(~words.done),
            ]
        with m.If(self.clear):
            m.d.sync += [s.eq(0) for s in (place, self.out_enable, self.complete, started, between)]
