"""Keeps the first error of a run (docs/machine.md, section 7)."""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Cat, Const, Elaboratable, Module, Mux, Signal, Value
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from pulsarray.config import Config
from pulsarray.hw.blocks.ports import ADDRESS_BITS, BANK_BITS, INDEX_BITS
from pulsarray.hw.blocks.shared import Shared
from pulsarray.isa import Bank, Unit
from pulsarray.registers import ErrorCode

__all__ = ["FETCH_CODES", "GROUPS", "UNIT_CODES", "Errors"]

_NOBODY = (1 << INDEX_BITS) - 1
_UNITS = len(Unit)
UNIT_CODES = (ErrorCode.BAD_FIELD, ErrorCode.ADDRESS, ErrorCode.AXI_READ, ErrorCode.AXI_WRITE)
FETCH_CODES = (ErrorCode.ILLEGAL_OPCODE, ErrorCode.AXI_READ, ErrorCode.PROGRAM_END)
"""What units and FETCH find by themselves."""
GROUPS = 4
"""Groups of errors, each with a register, of a machine with ``fast_clock``."""


_Owner = tuple[str, Value]
"""Name and number of an instruction that an error may be of."""


@dataclass(frozen=True)
class _Error:
    """An error that may arise: its code, whether it is there, and whose it is."""

    code: ErrorCode
    there: Value
    owner: str
    index: Value


class Errors(Shared):
    """Of all errors of the first cycle that has any, the one with the lowest code.

    Parameters
    ----------
    config
        The machine, for the sizes of the parameter and table banks.

    Members
    -------
    running, cycle, cycle_limit
        Errors count while running; the limit is one of them.
    stop
        The host asks to stop.
    fetch_code, fetch_index, code_of[unit], index_of[unit]
        Errors that FETCH or a unit found, of :data:`FETCH_CODES` and :data:`UNIT_CODES`, with the
        instruction.
    semaphore_error, semaphore_index
        One bit a unit: a semaphore that it takes from or signals leaves its range; and by which
        instruction.
    address, conflict
        Errors that the banks found, one bit a unit that reads, then one a unit that writes.
    load_write, load_bank, load_address, load_index
        What LOAD writes, to find words outside the parameter and table banks, and for whom.
    target_error, target_index
        Sums are for a word outside their bank; the instruction whose sums are at the accumulator.
    vector_index
        The instruction whose words VECTOR writes.
    start, start_index
        The instructions that start, so that errors of the banks find their owner.
    code, index, halt
        The error that is kept, from the next cycle on (with ``fast_clock`` from that after), and
        whether there is one.
    clear
        Forget it.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        indices = data.ArrayLayout(INDEX_BITS, _UNITS)
        super().__init__(
            {
                "running": In(1),
                "cycle": In(32),
                "cycle_limit": In(32),
                "stop": In(1),
                "fetch_code": In(4),
                "fetch_index": In(INDEX_BITS),
                "code_of": In(data.ArrayLayout(4, _UNITS)),
                "index_of": In(indices),
                "semaphore_error": In(_UNITS),
                "semaphore_index": In(indices),
                "address": In(2 * _UNITS),
                "conflict": In(2 * _UNITS),
                "load_write": In(1),
                "load_bank": In(BANK_BITS),
                "load_address": In(ADDRESS_BITS),
                "load_index": In(INDEX_BITS),
                "target_error": In(1),
                "target_index": In(INDEX_BITS),
                "vector_index": In(INDEX_BITS),
                "start": In(_UNITS),
                "start_index": In(indices),
                "code": Out(4),
                "index": Out(INDEX_BITS),
                "halt": Out(1),
                "clear": In(1),
            },
            parameters=config.parameter_depth,
            tables=config.tables * config.table_planes * config.table_words,
            fast_clock=config.fast_clock,
        )

    def body(self, platform: Any) -> Elaboratable:
        """The first that is there of all that may be, in the order in which they count."""
        m = Module()
        owners = self._owners(m)
        errors = [error for code in ErrorCode for error in self._of_code(code, owners)]
        number = GROUPS if self._config.fast_clock else 1
        size = -(-len(errors) // number)
        groups = [self._first(m, place, errors[place * size :][:size]) for place in range(number)]
        code: Value = groups[0][0]
        index: Value = groups[0][1]
        is_first = ~self.halt & (code != ErrorCode.NONE)
        if self._config.fast_clock:
            code, index, is_first = self._registered(m, groups)
        with m.If(self.running & is_first):
            m.d.sync += [self.code.eq(code), self.index.eq(index), self.halt.eq(1)]
        with m.If(self.clear):
            m.d.sync += [self.code.eq(0), self.index.eq(_NOBODY), self.halt.eq(0)]
        return m

    def _first(self, m: Module, place: int, errors: list[_Error]) -> tuple[Signal, Signal]:
        """Code and index of the first of some errors that is there; zeros if none is."""
        code, index = Signal(4, name=f"code{place}"), Signal(INDEX_BITS, name=f"index{place}")
        there = Signal(len(errors), name=f"there{place}")
        m.d.comb += there.eq(Cat(error.there for error in errors))
        first = Signal(len(errors), name=f"first{place}")
        m.d.comb += first.eq(Cat(bit & ~there[:n].any() for n, bit in enumerate(there)))
        chosen: dict[str, list[Value]] = {}
        indices = {error.owner: error.index for error in errors}
        for bit, error in zip(first, errors, strict=True):
            chosen.setdefault(error.owner, []).append(bit)
        m.d.comb += [
            code.eq(_any(Mux(bit, e.code, 0) for bit, e in zip(first, errors, strict=True))),
            index.eq(_any(Mux(Cat(b).any(), indices[owner], 0) for owner, b in chosen.items())),
        ]
        return code, index

    def _registered(
        self, m: Module, groups: list[tuple[Signal, Signal]]
    ) -> tuple[Value, Value, Value]:
        """What was found in the cycle before, or earlier: once there is something it stays."""
        any_error = Signal(name="found")
        least_code, least_index = Value.cast(0), Value.cast(_NOBODY)
        codes: list[Value] = []
        for place, (code, index) in reversed(list(enumerate(groups))):
            was_code = Signal(4, name=f"was_code{place}")
            was_index = Signal(INDEX_BITS, name=f"was_index{place}")
            with m.If(~any_error):
                m.d.sync += [was_code.eq(Mux(self.running, code, 0)), was_index.eq(index)]
            with m.If(self.clear):
                m.d.sync += was_code.eq(0)
            codes.append(was_code)
            least_code = Mux(was_code.any(), was_code, least_code)
            least_index = Mux(was_code.any(), was_index, least_index)
        m.d.comb += any_error.eq(Cat(codes).any())
        return least_code, least_index, any_error

    def _owners(self, m: Module) -> dict[int, _Owner]:
        """Bits of ``address`` and ``conflict`` that can be set, and the instruction of each.

        Words are read for the instruction that started last; what is written may be older.
        """
        owners: dict[int, _Owner] = {}
        for unit in (Unit.WEIGHT, Unit.STREAM, Unit.VECTOR, Unit.STORE):
            owner = Signal(INDEX_BITS, name=f"{unit.name.lower()}_owner")
            with m.If(self.start[unit]):
                m.d.sync += owner.eq(self.start_index[unit])
            owners[unit] = (f"read {unit}", owner)
        writers = {Unit.LOAD: self.load_index, Unit.STREAM: self.target_index}
        writers[Unit.VECTOR] = self.vector_index
        return owners | {_UNITS + unit: (f"write {unit}", i) for unit, i in writers.items()}

    def _of_code(self, code: ErrorCode, owners: dict[int, _Owner]) -> Iterator[_Error]:
        """Errors of a code in the order in which they count."""
        for unit in Unit:
            yield from self._of_unit(code, unit, owners)
        if code in FETCH_CODES:
            yield _Error(code, self.fetch_code == code, "fetch", self.fetch_index)
        at_limit = (self.cycle_limit != 0) & (self.cycle == self.cycle_limit)
        nobodys = {ErrorCode.CYCLE_LIMIT: at_limit, ErrorCode.STOPPED: self.stop}
        if code in nobodys:
            yield _Error(code, nobodys[code], "nobody", Const(_NOBODY, INDEX_BITS))

    def _of_unit(self, code: ErrorCode, unit: Unit, owners: dict[int, _Owner]) -> Iterator[_Error]:
        """Errors of a code and a unit."""
        banks = {ErrorCode.ADDRESS: self.address, ErrorCode.PORT_CONFLICT: self.conflict}
        more = {Unit.LOAD: self._load_outside(), Unit.STREAM: self.target_error}
        for bit in (unit, _UNITS + unit) if code in banks else ():
            if bit in owners:
                there = banks[code][bit]
                if code == ErrorCode.ADDRESS and bit >= _UNITS and unit in more:
                    there = there | more[unit]
                yield _Error(code, there, *owners[bit])
        if code in UNIT_CODES:
            yield _Error(code, self.code_of[unit] == code, f"own {unit}", self.index_of[unit])
        if code == ErrorCode.SEMAPHORE:
            there, index = self.semaphore_error[unit], self.semaphore_index[unit]
            yield _Error(code, there, f"semaphore {unit}", index)

    def _load_outside(self) -> Value:
        config = self._config
        rows = 4 * config.parameter_depth
        words = config.tables * config.table_planes * config.table_words
        outside = (self.load_bank == Bank.PARAMETER) & self._load_beyond(rows)
        outside = outside | ((self.load_bank == Bank.TABLE) & self._load_beyond(words))
        return self.load_write & outside

    def _load_beyond(self, rows: int) -> Value:
        """Whether LOAD writes beyond the rows of a bank: always, where it has none."""
        return self.load_address >= rows if rows else Const(1)


def _any(values: Iterable[Value]) -> Value:
    return functools.reduce(operator.or_, values)
