"""STREAM: words of a scratchpad bank through the array into an accumulator bank."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Elaboratable, Module, Mux, Signal, Value, signed
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from pulsarray.config import SEMAPHORES, Config
from pulsarray.hw.blocks.addressing import AddressGenerator
from pulsarray.hw.blocks.delay import Delay
from pulsarray.hw.blocks.fields import fields
from pulsarray.hw.blocks.ports import BANK_BITS, INDEX_BITS, ReadPort, target_layout
from pulsarray.hw.blocks.shared import Shared
from pulsarray.hw.control.sequencer import unit_members
from pulsarray.hw.units.array import Array
from pulsarray.hw.units.transposer import Transposer
from pulsarray.isa import FORMATS, Bank, Opcode, StreamFlag
from pulsarray.registers import ErrorCode
from pulsarray.stages import sum_cycles

__all__ = ["StreamUnit"]

_FORMAT = FORMATS[Opcode.STREAM]
_LEVELS = _FORMAT.levels
_HELD = ("source_bank", "target_bank", "flags", "inner", "fresh", "pad", "signal")
_WAS = ("plain", "turned", "first", "ends", "inside")


class StreamUnit(Shared):
    """Reads words, streams them, and sends their sums to the accumulator (docs/machine.md, STREAM).

    The array is inside.

    Parameters
    ----------
    config
        The machine.

    Members
    -------
    port
        Scratchpad read port.
    loaded, begun, take, release_now, release_later
        The hand-over of tiles, as in :class:`pulsarray.hw.weight.WeightUnit`.
    w, w_row, w_valid
        The array's top face.
    sums, sums_valid, target
        Sums of a word in the cycle in which the accumulator is read for them, and where they go.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        dim = config.dim
        operands = data.ArrayLayout(signed(config.operand_bits), dim)
        port = ReadPort(dim=dim, operand_bits=config.operand_bits, acc_bits=config.acc_bits)
        super().__init__(
            {
                **unit_members(8 * _FORMAT.bytes),
                "port": Out(port),
                "loaded": In(1),
                "begun": In(1),
                "take": Out(1),
                "release_now": Out(1),
                "release_later": Out(1),
                "w": In(operands),
                "w_row": In(range(dim)),
                "w_valid": In(1),
                "sums": Out(data.ArrayLayout(signed(config.psum_bits), dim)),
                "sums_valid": Out(1),
                "target": Out(target_layout()),
            },
            dim=dim,
            operand_bits=config.operand_bits,
            acc_bits=config.acc_bits,
            scratchpads=config.scratchpad_banks,
            accumulators=config.accumulator_banks,
            transposer=config.transposer,
            fast_clock=config.fast_clock,
            queue_blocks=config.queue_blocks,
        )

    def body(self, platform: Any) -> Elaboratable:
        """Front with loops and window, then transposer or not, then the array and its targets."""
        m = Module()
        self._want = fields(_FORMAT, self.instruction)
        self._held: Any = Signal(
            data.StructLayout(
                {
                    "source_bank": BANK_BITS,
                    "target_bank": BANK_BITS,
                    "flags": 5,
                    "inner": 3,
                    "fresh": _LEVELS,
                    "pad": signed(8),
                    "signal": SEMAPHORES,
                    "index": INDEX_BITS,
                }
            )
        )
        self._latch(m)
        words = self._generator(m)
        step, first = self._issue(m, words)
        target = self._target(m, words)
        self._through(m, words, step, first, target)
        self._complete(m)
        return m

    def _latch(self, m: Module) -> None:
        """Keep the fields that every word needs; BAD_FIELD when the instruction starts."""
        want, held, config = self._want, self._held, self._config
        known = ~StreamFlag(0) if config.transposer else ~StreamFlag.TRANSPOSE
        counts = [want[f"count{level}"] == 0 for level in range(_LEVELS)]
        both = want["flags"][0] & want["flags"][4]
        bad = (
            (want["source_bank"] >= config.scratchpad_banks)
            | (want["target_bank"] < Bank.ACCUMULATOR)
            | (want["target_bank"] >= Bank.ACCUMULATOR + config.accumulator_banks)
            | (want["flags"] & Const(255 - int(known), 8)).any()
            | (want["fresh"] >> _LEVELS).any()
            | (want["inner"] == 0)
            | (want["inner"] > _LEVELS)
            | both
        )
        for empty in counts:
            bad = bad | empty
        with m.If(self.start & bad):
            m.d.comb += [self.error.eq(ErrorCode.BAD_FIELD), self.error_index.eq(self.index)]
        with m.If(self.start):
            m.d.sync += held.index.eq(self.index)
            for name in _HELD:
                m.d.sync += held[name].eq(want[name])

    def _generator(self, m: Module) -> AddressGenerator:
        """The five loops, with source and target addresses and the window."""
        want = self._want
        m.submodules.words = words = AddressGenerator(levels=_LEVELS, streams=2, window=True)
        m.d.comb += [words.start.eq(self.start), words.clear.eq(self.clear)]
        for stream, name in enumerate(("source", "target")):
            m.d.comb += words.bases[stream].eq(want[name])
            for level in range(_LEVELS):
                m.d.comb += words.strides[stream][level].eq(want[f"{name}_stride{level}"])
        for level in range(_LEVELS):
            m.d.comb += words.counts[level].eq(want[f"count{level}"])
        for axis in ("row", "column"):
            m.d.comb += [
                getattr(words, f"{axis}_start").eq(want[f"{axis}_start"]),
                getattr(words, f"{axis}_limit").eq(want[f"{axis}_limit"]),
                *(
                    getattr(words, f"{axis}_steps")[level].eq(want[f"{axis}_step{level}"])
                    for level in range(_LEVELS)
                ),
            ]
        return words

    def _flag(self, flag: StreamFlag) -> Value:
        return self._held.flags[int(flag).bit_length() - 1]

    def _issue(self, m: Module, words: AddressGenerator) -> tuple[Signal, Signal]:
        """Whether a word is read in this cycle, and whether it is a pass's first of new weights."""
        dim, transposed = self._config.dim, self._flag(StreamFlag.TRANSPOSE)
        outer = [_LEVELS - self._held.inner > level for level in range(_LEVELS)]
        self._ends = Signal()  # the word is the last of a pass
        edges = Signal()  # the word is the first of a pass
        for signal, whether in ((edges, words.zero), (self._ends, words.last)):
            inner = [whether[level] | outer[level] for level in range(_LEVELS)]
            m.d.comb += signal.eq(_all(inner))
        # Words of a transposed instruction are still on their way to the face.
        tail = Signal(range(dim + 1))
        permitted, step, first = Signal(), Signal(), Signal()
        m.d.comb += [
            permitted.eq(
                ~edges | self._flag(StreamFlag.KEEP) | Mux(transposed, self.begun, self.loaded)
            ),
            step.eq(words.active & permitted & (transposed | (tail == 0)) & ~self.halt),
            words.step.eq(step),
            first.eq(edges & ~self._flag(StreamFlag.KEEP)),
            self.take.eq(step & first),
            self.release_now.eq(~transposed),
            self.active.eq(words.active),
            self.stall.eq(words.active & ~step),
            self.ready.eq(~words.active | (step & words.done)),
            self.port.enable.eq(step & (words.inside | ~self._flag(StreamFlag.WINDOW_READ))),
            self.port.bank.eq(self._held.source_bank),
            self.port.address.eq(words.addresses[0]),
            self.port.hold.eq(words.active),
        ]
        with m.If(step & transposed):
            m.d.sync += tail.eq(dim)
        with m.Elif(tail != 0):
            m.d.sync += tail.eq(tail - 1)
        with m.If(self.clear):
            m.d.sync += tail.eq(0)
        return step, first

    def _target(self, m: Module, words: AddressGenerator) -> Any:
        """Where the sums of the current word go."""
        held = self._held
        target: Any = Signal(target_layout())
        zero = [words.zero[level] | ~held.fresh[level] for level in range(_LEVELS)]
        m.d.comb += [
            target.bank.eq(held.target_bank),
            target.address.eq(words.addresses[1]),
            target.write.eq(words.inside | ~self._flag(StreamFlag.WINDOW_WRITE)),
            target.fresh.eq(_all(zero) & ~self._flag(StreamFlag.ACCUMULATE)),
            target.last.eq(words.done),
            target.signal.eq(held.signal),
            target.index.eq(held.index),
        ]
        return target

    def _through(
        self, m: Module, words: AddressGenerator, step: Value, first: Value, target: Any
    ) -> None:
        """From the words read in the cycle before to the faces of the array."""
        config = self._config
        array = Array(config.dim, config.operand_bits, config.psum_bits)
        m.submodules.array = array
        was = {name: Signal(name=f"was_{name}") for name in _WAS}
        m.d.sync += [
            was["plain"].eq(step & ~self._flag(StreamFlag.TRANSPOSE) & ~self.clear),
            was["turned"].eq(step & self._flag(StreamFlag.TRANSPOSE) & ~self.clear),
            was["first"].eq(first),
            was["ends"].eq(self._ends),
            was["inside"].eq(words.inside | ~self._flag(StreamFlag.WINDOW_READ)),
        ]
        word, beside = Signal.like(array.x), Signal.like(target)
        pad = Signal(config.operand_bits)
        m.d.sync += [beside.eq(target), pad.eq(self._held.pad)]
        m.d.comb += word.eq(Mux(was["inside"], self.port.word.as_value(), Cat([pad] * config.dim)))
        face = Signal.like(target, name="face")
        m.d.comb += [
            array.x.eq(word),
            array.x_valid.eq(was["plain"]),
            array.x_first.eq(was["first"]),
            face.eq(beside),
            array.w.eq(self.w),
            array.w_row.eq(self.w_row),
            array.w_valid.eq(self.w_valid),
            array.clear.eq(self.clear),
            self.sums.eq(array.y),
            self.sums_valid.eq(array.y_valid),
        ]
        if config.transposer:
            self._turn(m, array, was, word, beside, face)
        m.submodules.targets = targets = Delay(
            len(target.as_value()), 2 * config.dim + 1, blocks=config.queue_blocks
        )
        m.d.comb += [targets.entering.eq(face), self.target.eq(targets.leaving)]

    def _turn(
        self,
        m: Module,
        array: Array,
        was: dict[str, Signal],
        word: Value,
        beside: Any,
        face: Any,
    ) -> None:
        """The transposer on the way to the left face."""
        dim, blocks = self._config.dim, self._config.queue_blocks
        transposer = Transposer(dim, self._config.operand_bits)
        m.submodules.transposer = transposer
        place, opens = Signal(range(dim)), Signal()
        end = was["turned"] & (place == dim - 1)
        m.submodules.beside = line = Delay(len(face.as_value()), dim, blocks=blocks)
        m.d.comb += [
            transposer.in_valid.eq(was["turned"]),
            transposer.in_data.eq(word),
            transposer.out_enable.eq(1),
            transposer.clear.eq(self.clear),
            line.entering.eq(beside),
            self.release_later.eq(end & opens),
        ]
        with m.If(was["turned"]):
            m.d.sync += place.eq(Mux(place == dim - 1, 0, place + 1))
            with m.If(place == 0):
                m.d.sync += opens.eq(was["first"])
        with m.If(transposer.valid):
            m.d.comb += [
                array.x.eq(transposer.out_data),
                array.x_valid.eq(1),
                array.x_first.eq(transposer.full & opens),
                face.eq(line.leaving),
            ]
        with m.If(was["turned"] & was["ends"] & (place != dim - 1)):
            m.d.comb += [
                self.error.eq(ErrorCode.BAD_FIELD),
                self.error_index.eq(beside.index),
            ]
        with m.If(self.clear):
            m.d.sync += place.eq(0)

    def _complete(self, m: Module) -> None:
        """An instruction completes with the write of its last word's sums."""
        # As many instructions as words fit between the front and the accumulator.
        started = Signal(range(3 * self._config.dim + 8))
        ended = self.sums_valid & self.target.last
        parts: Value = Cat(ended & ~self.clear, self.target.index, self.target.signal)
        completion = Cat(self.complete, self.complete_index, self.complete_signal)
        for number in range(sum_cycles(self._config) - 2 * self._config.dim - 3):
            before = Signal.like(completion, name=f"ended{number}")
            m.d.sync += before.eq(parts)
            parts = Cat(before[0] & ~self.clear, before[1:])
        m.d.sync += completion.eq(parts)
        m.d.sync += started.eq(started + self.start - self.complete)
        m.d.comb += self.busy.eq(started != 0)
        with m.If(self.clear):
            m.d.sync += started.eq(0)


def _all(values: list[Value]) -> Value:
    """Whether all of some one-bit values hold."""
    result: Value = Const(1)
    for value in values:
        result = result & value
    return result
