"""Scratchpad and accumulator banks, and the crossbar between them and the units."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Cat, Const, Elaboratable, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from pulsarray.config import Config
from pulsarray.hw.memory import Memory1R1W
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
        config = self._config
        self._holds: dict[Unit, list[Value]] = {unit: [] for unit in Unit}
        wrong: dict[Unit, list[Value]] = {unit: [] for unit in Unit}
        readers = [(name, unit, getattr(self, name)) for name, unit in _READERS.items()]
        for name, unit, port in readers:
            limit = Mux(
                port.bank < Bank.ACCUMULATOR, config.scratchpad_depth, config.accumulator_depth
            )
            wrong[unit].append(port.enable & (port.address >= limit))
        for kind, depth in (("word", config.scratchpad_depth), ("sums", config.accumulator_depth)):
            for name, unit in _WRITERS.items():
                port = getattr(self, f"{name}_{kind}")
                wrong[unit].append(port.enable & (port.address >= depth))
        wrong[Unit.STREAM].append(
            self.sums_valid & self.target.write & (self.target.address >= config.accumulator_depth)
        )
        m.d.comb += self.address_error.eq(Cat(_any(wrong[unit]) for unit in Unit))
        self._scratchpad(m)
        self._accumulator(m)
        return m

    def _scratchpad(self, m: Module) -> None:
        config = self._config
        names = tuple(_READERS)
        readers = [(_READERS[name], getattr(self, name)) for name in names]
        writers = [(unit, getattr(self, f"{name}_word")) for name, unit in _WRITERS.items()]
        bits = config.dim * config.operand_bits
        rows = []
        for number in range(config.scratchpad_banks):
            bank = Memory1R1W(bits, config.scratchpad_depth)
            m.submodules[f"scratchpad{number}"] = bank
            _connect_read(m, bank, number, config.scratchpad_depth, [p for _, p in readers])
            _connect_write(m, bank, number, config.scratchpad_depth, [p for _, p in writers])
            rows.append(bank.read_data)
        for name, (_, port) in zip(names, readers, strict=True):
            m.d.comb += port.word.eq(_select(m, f"{name}_word", rows, port, 0))
        self._conflicts(m, range(config.scratchpad_banks), readers, writers)

    def _accumulator(self, m: Module) -> None:
        config, target = self._config, self.target
        first = int(Bank.ACCUMULATOR)
        names = ("vector_a", "vector_b", "store")
        readers = [(_READERS[name], getattr(self, name)) for name in names]
        writers = [(unit, getattr(self, f"{name}_sums")) for name, unit in _WRITERS.items()]
        was, psums, update = self._pending(m)
        rows = []
        for number in range(first, first + config.accumulator_banks):
            bank = Memory1R1W(config.dim * config.acc_bits, config.accumulator_depth)
            m.submodules[f"accumulator{number - first}"] = bank
            _connect_read(m, bank, number, config.accumulator_depth, [p for _, p in readers])
            _connect_write(m, bank, number, config.accumulator_depth, [p for _, p in writers])
            with m.If(self.sums_valid & (target.bank == number)):
                m.d.comb += [
                    bank.read_enable.eq(target.address < config.accumulator_depth),
                    bank.read_address.eq(target.address),
                ]
            with m.If(was.write & (was.bank == number)):
                m.d.comb += [
                    bank.write_enable.eq(was.address < config.accumulator_depth),
                    bank.write_address.eq(was.address),
                    bank.write_data.eq(update),
                ]
            rows.append(bank.read_data)
        for name, (_, port) in zip(names, readers, strict=True):
            m.d.comb += port.sums.eq(_select(m, f"{name}_sums", rows, port, first))
        self._add(m, rows, was, psums, update)
        streaming = self._streaming(m, was)
        banks = range(first, first + config.accumulator_banks)
        self._conflicts(m, banks, [*readers, *streaming], [*writers, *streaming])

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

    def _add(self, m: Module, rows: Sequence[Value], was: Any, psums: Any, update: Any) -> None:
        """Old sums, or those just written to the same word, plus the new."""
        before = Signal(target_layout(), name="before")
        written = Signal.like(update, name="written", reset_less=True)
        m.d.sync += [before.eq(was), written.eq(update)]
        old = Signal.like(update, name="old")
        first = int(Bank.ACCUMULATOR)
        for number, row in enumerate(rows):
            with m.If(was.bank == first + number):
                m.d.comb += old.eq(row)
        again = before.write & (before.bank == was.bank) & (before.address == was.address)
        with m.If(again):
            m.d.comb += old.eq(written)
        with m.If(was.fresh):
            m.d.comb += old.eq(0)
        for lane in range(self._config.dim):
            m.d.comb += update[lane].eq(old[lane] + psums[lane])

    def _streaming(self, m: Module, was: Any) -> list[tuple[Unit, Any]]:
        """Holds of STREAM: from the first sums of an instruction to the write of the last."""
        between, bank = Signal(), Signal(BANK_BITS)
        with m.If(self.sums_valid):
            m.d.sync += [between.eq(~self.target.last), bank.eq(self.target.bank)]
        with m.If(self.clear):
            m.d.sync += between.eq(0)
        writing = Signal()
        m.d.sync += writing.eq(self.sums_valid & ~self.clear)
        now = _Hold(self.sums_valid | between, Mux(self.sums_valid, self.target.bank, bank))
        return [(Unit.STREAM, now), (Unit.STREAM, _Hold(writing, was.bank))]

    def _conflicts(
        self,
        m: Module,
        banks: range,
        readers: Sequence[tuple[Unit, Any]],
        writers: Sequence[tuple[Unit, Any]],
    ) -> None:
        """Which units come second on a port."""
        for kind, users in (("read", readers), ("write", writers)):
            for number in banks:
                held = Signal(len(Unit), name=f"{kind}_{number}_held")
                for unit in Unit:
                    mine = [p.hold & (p.bank == number) for u, p in users if u is unit]
                    m.d.comb += held[unit].eq(_any(mine))
                for unit in Unit:
                    with m.If(held[unit] & held[:unit].any()):
                        m.d.comb += self.conflict[unit].eq(1)


class _Hold:
    """What a port shows of itself to the conflict check."""

    def __init__(self, hold: Value, bank: Value) -> None:
        self.hold, self.bank = hold, bank


def _any(values: Sequence[Value]) -> Value:
    result: Value = Const(0)
    for value in values:
        result = result | value
    return result


def _connect_read(
    m: Module, bank: Memory1R1W, number: int, depth: int, ports: Sequence[wiring.PureInterface]
) -> None:
    for port in ports:
        with m.If(port.enable & (port.bank == number)):
            m.d.comb += [
                bank.read_enable.eq(port.address < depth),
                bank.read_address.eq(port.address),
            ]


def _connect_write(
    m: Module, bank: Memory1R1W, number: int, depth: int, ports: Sequence[wiring.PureInterface]
) -> None:
    for port in ports:
        with m.If(port.enable & (port.bank == number)):
            m.d.comb += [
                bank.write_enable.eq(port.address < depth),
                bank.write_address.eq(port.address),
                bank.write_data.eq(port.data),
            ]


def _select(m: Module, name: str, rows: Sequence[Value], port: Any, first: int) -> Value:
    """The word that a port asked for in the cycle before."""
    asked = Signal(BANK_BITS, name=f"{name}_bank")
    m.d.sync += asked.eq(port.bank)
    chosen = Signal(len(rows[0]), name=f"{name}_chosen")
    for number, row in enumerate(rows):
        with m.If(asked == first + number):
            m.d.comb += chosen.eq(row)
    return chosen
