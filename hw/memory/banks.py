"""Scratchpad and accumulator banks, and the crossbar between them and the units."""

from __future__ import annotations

import functools
import operator
from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Cat, Const, Elaboratable, Module, Mux, Shape, Signal, Value, signed
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from pulsarray.config import Config
from pulsarray.hw.blocks.ports import (
    ADDRESS_BITS,
    BANK_BITS,
    INDEX_BITS,
    OperandPort,
    ReadPort,
    WritePort,
    target_layout,
)
from pulsarray.hw.blocks.shared import Shared
from pulsarray.hw.memory.bank import MemoryBank, OperandSelect, WordSelect
from pulsarray.isa import Bank, Unit
from pulsarray.stages import sum_cycles

__all__ = ["Banks"]

_READERS = ("weight", "stream", "vector_a", "vector_b", "store")
_OPERANDS = ("vector_a", "vector_b")
"""Those that take words of either kind for the same."""
_WRITERS = ("load", "vector")
_REQUEST = data.StructLayout({"enable": 1, "bank": BANK_BITS, "address": ADDRESS_BITS, "hold": 1})
"""What a unit asks of a port of all banks of a kind."""
_WHO = {"read": "readers", "write": "writers"}
_STREAM = (1 << Unit.STREAM) * (1 + (1 << len(Unit)))


class Banks(Shared):
    """All banks, with one read and one write port each.

    Parameters
    ----------
    config
        The machine.

    Members
    -------
    weight, stream, vector_a, vector_b, store
        Read ports of the units.
    load_word, load_sums, vector_word, vector_sums
        Write ports of the units, of either kind of bank.
    sums, sums_valid, target
        Sums from the array, added in the next cycle to what is read now.
    address_error, conflict
        One bit a unit that reads, then one a unit that writes: it accesses a word outside its bank;
        it holds a port that a unit before it in the order of :class:`pulsarray.isa.Unit` holds too.
    target_error, target_index
        The same as ``address_error`` for sums from the array; the instruction whose sums they are.
    clear
        Forget sums that are on their way and holds.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        read = ReadPort(
            dim=config.dim, operand_bits=config.operand_bits, acc_bits=config.acc_bits
        ).flip()
        operand = OperandPort(dim=config.dim, acc_bits=config.acc_bits).flip()
        word = WritePort(dim=config.dim, lane_bits=config.operand_bits).flip()
        sums = WritePort(dim=config.dim, lane_bits=config.acc_bits).flip()
        super().__init__(
            {
                **{name: Out(operand if name in _OPERANDS else read) for name in _READERS},
                **{f"{name}_word": Out(word) for name in _WRITERS},
                **{f"{name}_sums": Out(sums) for name in _WRITERS},
                "sums": In(data.ArrayLayout(signed(config.psum_bits), config.dim)),
                "sums_valid": In(1),
                "target": In(target_layout()),
                "address_error": Out(2 * len(Unit)),
                "target_error": Out(1),
                "target_index": Out(INDEX_BITS),
                "conflict": Out(2 * len(Unit)),
                "clear": In(1),
            },
            dim=config.dim,
            operand_bits=config.operand_bits,
            acc_bits=config.acc_bits,
            scratchpads=config.scratchpad_banks,
            scratchpad_depth=config.scratchpad_depth,
            accumulators=config.accumulator_banks,
            accumulator_depth=config.accumulator_depth,
            fast_clock=config.fast_clock,
        )

    def body(self, platform: Any) -> Elaboratable:
        """Two groups of banks of one kind each, and the checks."""
        m = Module()
        config = self._config
        words, psums = self._line(m)
        update: Any = Signal(data.ArrayLayout(signed(config.acc_bits), config.dim))
        written = Signal.like(update, name="written", reset_less=True)
        m.d.sync += written.eq(update)
        now, *others = self._streaming(m, words)
        result = written if config.fast_clock else update
        readers = {name: getattr(self, name) for name in _READERS}
        scratchpad = _Group(m, "scratchpad", config.scratchpad_banks, config.scratchpad_depth)
        scratchpad.connect(
            [[_request(port)] for port in readers.values()],
            [[_request(port)] for port in (self.load_word, self.vector_word)],
            [self.load_word.data, self.vector_word.data],
        )
        for name in ("weight", "stream", "store"):
            port = readers[name]
            m.d.comb += port.word.eq(scratchpad.select(f"{name}_word", port.bank))
        accumulator = _Group(m, "accumulator", config.accumulator_banks, config.accumulator_depth)
        names = ("vector_a", "vector_b", "store")
        accumulator.connect(
            [*([_request(readers[name])] for name in names), [now, *others]],
            [
                *([_request(port)] for port in (self.load_sums, self.vector_sums)),
                [*reversed(others), now],
            ],
            [self.load_sums.data, self.vector_sums.data, result],
        )
        m.d.comb += self.store.sums.eq(accumulator.select("store_sums", self.store.bank))
        for name in _OPERANDS:
            self._operand(m, name, scratchpad, accumulator)
        stored = accumulator.select("target_sums", self.target.bank)
        old = self._augend(m, stored, words, written)
        for lane in range(config.dim):
            m.d.comb += update[lane].eq(old[lane] + psums[lane])
        m.d.comb += [
            self.address_error.eq(scratchpad.outside | (accumulator.outside & ~_STREAM)),
            self.target_error.eq((accumulator.outside & _STREAM).any()),
            self.conflict.eq(scratchpad.conflict | accumulator.conflict),
        ]
        return m

    def _operand(self, m: Module, name: str, scratchpad: _Group, accumulator: _Group) -> None:
        """A word of either kind."""
        config, port = self._config, getattr(self, name)
        m.submodules[f"{name}_operand"] = choice = OperandSelect(
            dim=config.dim,
            operand_bits=config.operand_bits,
            acc_bits=config.acc_bits,
            scratchpads=config.scratchpad_banks,
            accumulators=config.accumulator_banks,
        )
        m.d.comb += [
            choice.bank.eq(port.bank),
            Value.cast(choice.words).eq(scratchpad.rows),
            Value.cast(choice.sums).eq(accumulator.rows),
            port.operand.eq(choice.operand),
        ]

    def _line(self, m: Module) -> tuple[list[Any], Signal]:
        """Words whose sums are on the way from the array to a bank, and those that are added now.

        A word is added in the cycle after it was read and written at once; with ``fast_clock`` each
        of this has a cycle for itself, the old sums one before that.
        """
        words: list[Any] = []
        psums: Any = self.sums
        valid, coming = self.sums_valid, self.target
        for number in range(sum_cycles(self._config) - 2 * self._config.dim - 2):
            word: Any = Signal(target_layout(), name=f"word{number}")
            m.d.sync += [word.eq(coming), word.write.eq(valid & coming.write & ~self.clear)]
            words.append(word)
            valid, coming = Const(1), word
        for number in range(1 + self._config.fast_clock):
            kept = Signal.like(self.sums, name=f"psums{number}", reset_less=True)
            m.d.sync += kept.eq(psums)
            psums = kept
        return words, psums

    def _augend(self, m: Module, stored: Value, words: list[Any], written: Signal) -> Any:
        """Old sums, or 0, or those that were made for the same word and cannot be read yet.

        Which of them is known a cycle ahead, from the word that is coming and those before it.
        """
        coming, old = self.target, Signal.like(written, name="old")
        *recent, last = [self._same(m, number, word) for number, word in enumerate(words)]
        uses_stored = Signal(name="uses_stored", reset_less=True)
        earlier = written
        if recent:
            earlier = Signal.like(written, name="earlier", reset_less=True)
            m.d.sync += earlier.eq(written)
        m.d.sync += uses_stored.eq(~coming.fresh & ~last)
        again = self._delayed(m, "again", last)
        chosen = Mux(uses_stored, stored, Mux(again, Value.cast(earlier), 0))
        if recent:
            first, second = (
                self._delayed(m, f"is_recent{number}", self._delayed(m, f"recent{number}", same))
                for number, same in enumerate(recent)
            )
            kept = self._delayed(m, "kept", chosen)
            chosen = Mux(first, Value.cast(written), Mux(second, Value.cast(earlier), kept))
        m.d.comb += Value.cast(old).eq(chosen)
        return old

    def _same(self, m: Module, number: int, word: Any) -> Signal:
        """Whether the word that is coming is added to one that is on its way."""
        coming, same = self.target, Signal(name=f"same{number}")
        is_place = (word.bank == coming.bank) & (word.address == coming.address)
        m.d.comb += same.eq(word.write & is_place & ~coming.fresh)
        return same

    def _delayed(self, m: Module, name: str, value: Value) -> Signal:
        register = Signal(len(value), name=name, reset_less=True)
        m.d.sync += register.eq(value)
        return register

    def _streaming(self, m: Module, words: list[Any]) -> list[Any]:
        """What STREAM asks of the accumulator: to read for the sums that come, and to write.

        It holds both ports from the first sums of an instruction to the write of the last.
        """
        between, bank, index = Signal(), Signal(BANK_BITS), Signal(INDEX_BITS)
        with m.If(self.sums_valid):
            m.d.sync += [
                between.eq(~self.target.last),
                Cat(bank, index).eq(Cat(self.target.bank, self.target.index)),
            ]
        m.d.comb += self.target_index.eq(Mux(self.sums_valid, self.target.index, index))
        with m.If(self.clear):
            m.d.sync += between.eq(0)
        target = self.target
        now: Any = Signal(_REQUEST)
        m.d.comb += [
            now.enable.eq(self.sums_valid & target.write),
            now.bank.eq(Mux(self.sums_valid, target.bank, bank)),
            now.address.eq(target.address),
            now.hold.eq(self.sums_valid | between),
        ]
        requests, valid = [now], self.sums_valid
        for number, word in enumerate(words):
            held = Signal(name=f"holds{number}")
            request: Any = Signal(_REQUEST, name=f"write{number}")
            m.d.sync += held.eq(valid & ~self.clear)
            place = Cat(word.write, word.bank, word.address, held)
            m.d.comb += request.as_value().eq(place)
            requests.append(request)
            valid = held
        return requests


class _Group:
    """Banks of one kind in a module.

    Parameters
    ----------
    m, kind
        Where the banks are put, and what they are.
    banks, depth
        How many, and the words of each.
    """

    def __init__(self, m: Module, kind: str, banks: int, depth: int) -> None:
        self._m, self._kind, self._count, self._depth = m, kind, banks, depth
        self._first = int(Bank[kind.upper()])
        self._banks: list[MemoryBank] = []

    def connect(
        self,
        reads: Sequence[Sequence[Value]],
        writes: Sequence[Sequence[Value]],
        words: Sequence[Any],
    ) -> None:
        """Make the banks, and show each what all their readers and writers ask of it.

        Of each reader and writer the first request accesses words; others only hold the port.
        """
        m = self._m
        self._bits = len(Value.cast(words[0]))
        self._banks = [
            MemoryBank(accumulator=self._kind == "accumulator", bits=self._bits, depth=self._depth)
            for _ in range(self._count)
        ]
        self._ask("read", reads)
        self._ask("write", writes)
        for number, bank in enumerate(self._banks):
            m.submodules[f"{self._kind}{number}"] = bank
            m.d.comb += bank.write_data.eq(Cat(Value.cast(word) for word in words))

    def _ask(self, kind: str, requests: Sequence[Sequence[Value]]) -> None:
        """Show each bank the words that are asked for, and who asks it: decoded once for all."""
        shown, enables, holds = [], [], []
        for place, (access, *others) in enumerate(requests):
            name = f"{self._kind}_{kind}{place}"
            first, enable, hold = self._decoded(name, access)
            for number, other in enumerate(others):
                hold = hold | self._decoded(f"{name}_{number}", other)[2]
            address = first.address[: Shape.cast(range(self._depth)).width]
            shown.append(Cat(first.address < self._depth, address))
            enables.append(enable)
            holds.append(hold)
        words = Signal(len(Cat(shown)), name=f"{self._kind}_{_WHO[kind]}")
        self._m.d.comb += words.eq(Cat(shown))
        for number, bank in enumerate(self._banks):
            self._m.d.comb += [
                getattr(bank, _WHO[kind]).eq(words),
                getattr(bank, f"{kind}_enables").eq(Cat(enable[number] for enable in enables)),
                getattr(bank, f"{kind}_holds").eq(Cat(hold[number] for hold in holds)),
            ]

    def _decoded(self, name: str, value: Value) -> tuple[Any, Value, Value]:
        """A request, and one bit a bank each: it is accessed, and held."""
        request: Any = Signal(_REQUEST, name=name)
        here, enables, holds = (
            Signal(self._count, name=f"{name}_{what}") for what in ("here", "enables", "holds")
        )
        banks = range(self._first, self._first + self._count)
        self._m.d.comb += [
            request.eq(value),
            here.eq(Cat(request.bank == number for number in banks)),
            enables.eq(Mux(request.enable, here, 0)),
            holds.eq(Mux(request.hold, here, 0)),
        ]
        return request, enables, holds

    def select(self, name: str, number: Value) -> Value:
        """The word that a reader asked for in the cycle before."""
        m = self._m
        m.submodules[name] = choice = WordSelect(
            bits=self._bits, banks=self._count, first=self._first
        )
        m.d.comb += [
            choice.bank.eq(number),
            choice.rows.eq(self.rows),
        ]
        return choice.word

    @property
    def rows(self) -> Value:
        """What the banks give."""
        return Cat(bank.data for bank in self._banks)

    @property
    def outside(self) -> Value:
        """One bit a unit: it asks for a word outside a bank."""
        return _any([bank.outside for bank in self._banks])

    @property
    def conflict(self) -> Value:
        """One bit a unit: it holds a port that a unit before it holds."""
        return _any([bank.conflict for bank in self._banks])


def _request(port: Any) -> Value:
    """A unit's port without its data, in the order of :data:`_REQUEST`."""
    return Cat(port.enable, port.bank, port.address, port.hold)


def _any(values: Sequence[Value]) -> Value:
    return functools.reduce(operator.or_, values)
