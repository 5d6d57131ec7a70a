"""Scratchpad and accumulator banks, and the crossbar between them and the units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Cat, Const, Elaboratable, Module, Mux, Signal, Value, signed
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from pulsarray.config import Config
from pulsarray.hw.bank import MemoryBank, WordSelect
from pulsarray.hw.ports import BANK_BITS, ReadPort, WritePort
from pulsarray.hw.shared import Shared
from pulsarray.hw.stream import target_layout
from pulsarray.isa import Bank, Unit

__all__ = ["Banks", "ReadPort", "WritePort"]

_READERS = {
    "weight": Unit.WEIGHT,
    "stream": Unit.STREAM,
    "vector_a": Unit.VECTOR,
    "vector_b": Unit.VECTOR,
    "store": Unit.STORE,
}
_WRITERS = {"load": Unit.LOAD, "vector": Unit.VECTOR}


@dataclass(frozen=True)
class _Port:
    """STREAM's way to an accumulator bank, with the members of the units' ports."""

    enable: Value
    bank: Value
    address: Value
    data: Any = None


@dataclass(frozen=True)
class _Hold:
    """A port of a bank is held in this cycle."""

    hold: Value
    bank: Value


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
        One bit a unit: it accesses a word outside its bank; it holds a port that a unit before it
        in the order of :class:`pulsarray.isa.Unit` holds too.
    target_error
        The same as ``address_error`` for sums from the array.
    clear
        Forget sums that are on their way and holds.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        read = ReadPort(
            dim=config.dim, operand_bits=config.operand_bits, acc_bits=config.acc_bits
        ).flip()
        word = WritePort(dim=config.dim, lane_bits=config.operand_bits).flip()
        sums = WritePort(dim=config.dim, lane_bits=config.acc_bits).flip()
        super().__init__(
            {
                **{name: Out(read) for name in _READERS},
                **{f"{name}_word": Out(word) for name in _WRITERS},
                **{f"{name}_sums": Out(sums) for name in _WRITERS},
                "sums": In(data.ArrayLayout(signed(config.psum_bits), config.dim)),
                "sums_valid": In(1),
                "target": In(target_layout()),
                "address_error": Out(len(Unit)),
                "target_error": Out(1),
                "conflict": Out(len(Unit)),
                "clear": In(1),
            },
            dim=config.dim,
            operand_bits=config.operand_bits,
            acc_bits=config.acc_bits,
            scratchpads=config.scratchpad_banks,
            scratchpad_depth=config.scratchpad_depth,
            accumulators=config.accumulator_banks,
            accumulator_depth=config.accumulator_depth,
        )

    def body(self, platform: Any) -> Elaboratable:
        """Two groups of banks of one kind each, and the checks."""
        m = Module()
        self._check_addresses(m)
        m.d.comb += self.conflict.eq(_any([*self._scratchpad(m), *self._accumulator(m)]))
        return m

    def _check_addresses(self, m: Module) -> None:
        config = self._config
        wrong: dict[Unit, list[Value]] = {unit: [] for unit in Unit}
        for name, unit in _READERS.items():
            port = getattr(self, name)
            limit = Mux(
                port.bank < Bank.ACCUMULATOR, config.scratchpad_depth, config.accumulator_depth
            )
            wrong[unit].append(port.enable & (port.address >= limit))
        for kind, depth in (("word", config.scratchpad_depth), ("sums", config.accumulator_depth)):
            for name, unit in _WRITERS.items():
                port = getattr(self, f"{name}_{kind}")
                wrong[unit].append(port.enable & (port.address >= depth))
        outside = self.target.address >= config.accumulator_depth
        m.d.comb += [
            self.address_error.eq(Cat(_any(wrong[unit]) for unit in Unit)),
            self.target_error.eq(self.sums_valid & self.target.write & outside),
        ]

    def _scratchpad(self, m: Module) -> list[Value]:
        config = self._config
        group = _Group(
            m,
            "scratchpad",
            first=int(Bank.SCRATCHPAD),
            banks=config.scratchpad_banks,
            bits=config.dim * config.operand_bits,
            depth=config.scratchpad_depth,
        )
        readers = [(unit, getattr(self, name)) for name, unit in _READERS.items()]
        writers = [(unit, getattr(self, f"{name}_word")) for name, unit in _WRITERS.items()]
        group.connect([p for _, p in readers], [p for _, p in writers])
        for name in _READERS:
            port = getattr(self, name)
            m.d.comb += port.word.eq(group.select(f"{name}_word", port.bank))
        return group.check(readers, writers)

    def _accumulator(self, m: Module) -> list[Value]:
        config = self._config
        group = _Group(
            m,
            "accumulator",
            first=int(Bank.ACCUMULATOR),
            banks=config.accumulator_banks,
            bits=config.dim * config.acc_bits,
            depth=config.accumulator_depth,
        )
        was, psums, update = self._pending(m)
        names = ("vector_a", "vector_b", "store")
        readers = [(_READERS[name], getattr(self, name)) for name in names]
        writers = [(unit, getattr(self, f"{name}_sums")) for name, unit in _WRITERS.items()]
        target = self.target
        group.connect(
            [*(p for _, p in readers), _Port(self.sums_valid, target.bank, target.address)],
            [*(p for _, p in writers), _Port(was.write, was.bank, was.address, update)],
        )
        for name in names:
            port = getattr(self, name)
            m.d.comb += port.sums.eq(group.select(f"{name}_sums", port.bank))
        self._add(m, group.select("target_sums", target.bank), was, psums, update)
        # What reads sums to add to them will write in the next cycle: STREAM holds both ports.
        streaming = self._streaming(m, was)
        return group.check([*readers, *streaming], [*writers, *streaming])

    def _pending(self, m: Module) -> tuple[Any, Signal, Signal]:
        """The word whose sums are added and written in this cycle, its sums, and the result."""
        was = Signal(target_layout(), name="was")
        psums = Signal.like(self.sums, name="psums", reset_less=True)
        update = Signal(data.ArrayLayout(signed(self._config.acc_bits), self._config.dim))
        m.d.sync += [
            was.eq(self.target),
            psums.eq(self.sums),
            was.write.eq(self.sums_valid & self.target.write & ~self.clear),
        ]
        return was, psums, update

    def _add(self, m: Module, stored: Value, was: Any, psums: Any, update: Any) -> None:
        """Old sums, or those just written to the same word, plus the new."""
        before = Signal(target_layout(), name="before")
        written = Signal.like(update, name="written", reset_less=True)
        m.d.sync += [before.eq(was), written.eq(update)]
        again = before.write & (before.bank == was.bank) & (before.address == was.address)
        old = Signal.like(update, name="augend")
        m.d.comb += old.eq(Mux(was.fresh, 0, Mux(again, written.as_value(), stored)))
        for lane in range(self._config.dim):
            m.d.comb += update[lane].eq(old[lane] + psums[lane])

    def _streaming(self, m: Module, was: Any) -> list[tuple[Unit, _Hold]]:
        """Holds of STREAM: from the first sums of an instruction to the write of the last."""
        between, bank = Signal(), Signal(BANK_BITS)
        with m.If(self.sums_valid):
            m.d.sync += [between.eq(~self.target.last), bank.eq(self.target.bank)]
        with m.If(self.clear):
            m.d.sync += between.eq(0)
        writing = Signal()
        m.d.sync += writing.eq(self.sums_valid & ~self.clear)
        now = Mux(self.sums_valid, self.target.bank, bank)
        holds = (_Hold(self.sums_valid | between, now), _Hold(writing, was.bank))
        return [(Unit.STREAM, hold) for hold in holds]


class _Group:
    """Banks of one kind in a module.

    Parameters
    ----------
    m, name
        Where the banks are put.
    first, banks
        Number of the first bank, and how many there are.
    bits, depth
        Width and number of a bank's words.
    """

    def __init__(
        self, m: Module, name: str, *, first: int, banks: int, bits: int, depth: int
    ) -> None:
        self._m, self._name, self._first = m, name, first
        self._bits, self._depth, self._count = bits, depth, banks
        self._banks: list[MemoryBank] = []

    def connect(self, readers: Sequence[Any], writers: Sequence[Any]) -> None:
        """Make the banks, and give them what all their readers and writers ask for."""
        m = self._m
        ways: dict[str, Value] = {
            "read_addresses": Cat(port.address for port in readers),
            "write_addresses": Cat(port.address for port in writers),
            "write_data": Cat(port.data for port in writers),
        }
        reads = [self._chosen(port.enable, port.bank) for port in readers]
        writes = [self._chosen(port.enable, port.bank) for port in writers]
        for number in range(self._count):
            bank = MemoryBank(
                bits=self._bits, depth=self._depth, readers=len(readers), writers=len(writers)
            )
            m.submodules[f"{self._name}{number}"] = bank
            self._banks.append(bank)
            m.d.comb += [getattr(bank, name).eq(value) for name, value in ways.items()]
            m.d.comb += [
                bank.reads.eq(Cat(read[number] for read in reads)),
                bank.writes.eq(Cat(write[number] for write in writes)),
            ]

    def _chosen(self, enable: Value, number: Value) -> Signal:
        """One bit a bank."""
        chosen = Signal(self._count)
        index = (number - self._first)[: number.shape().width]
        self._m.d.comb += chosen.eq(Mux(enable, Const(1, self._count) << index, 0))
        return chosen

    def select(self, name: str, number: Value) -> Value:
        """The word that a reader asked for in the cycle before."""
        m = self._m
        m.submodules[name] = choice = WordSelect(bits=self._bits, banks=self._count)
        m.d.comb += [
            choice.bank.eq(number - self._first),
            choice.rows.eq(Cat(bank.data for bank in self._banks)),
        ]
        return choice.word

    def check(
        self, readers: Sequence[tuple[Unit, Any]], writers: Sequence[tuple[Unit, Any]]
    ) -> list[Value]:
        """For each bank, the units that hold a port which a unit before them holds."""
        for kind, users in (("read_held", readers), ("write_held", writers)):
            holds = [(unit, self._chosen(user.hold, user.bank)) for unit, user in users]
            for number, bank in enumerate(self._banks):
                held = Cat(_any([h[number] for u, h in holds if u is unit]) for unit in Unit)
                self._m.d.comb += getattr(bank, kind).eq(held)
        return [bank.conflict for bank in self._banks]


def _any(values: Sequence[Value]) -> Value:
    result: Value = Const(0)
    for value in values:
        result = result | value
    return result
