"""Keeps the first error of a run (docs/machine.md, section 7)."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Elaboratable, Module, Mux, Signal, Value
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from pulsarray.config import Config
from pulsarray.hw.blocks.ports import ADDRESS_BITS, BANK_BITS, INDEX_BITS
from pulsarray.hw.blocks.shared import Shared
from pulsarray.isa import Bank, Unit
from pulsarray.registers import ErrorCode

__all__ = ["Errors"]

_NOBODY = (1 << INDEX_BITS) - 1
_UNITS = len(Unit)
_LEVELS_A_CYCLE = 2
"""Levels of the tree before its register, where it has one."""

_Error = tuple[Value, Value | int]
"""A code, zero where nothing is wrong, and whose it is."""


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
        Errors that a unit or FETCH found, with the instruction.
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
        """A tree of choices between everybody who may have found an error."""
        m = Module()
        choices, level = self._candidates(m), 0
        found: Value | None = None
        while len(choices) > 1:
            if self._config.fast_clock and level == _LEVELS_A_CYCLE:
                choices, found = self._registered(m, choices)
            pairs = [choices[first : first + 2] for first in range(0, len(choices), 2)]
            choices = [
                self._lower(m, f"choice{level}_{place}", pair) for place, pair in enumerate(pairs)
            ]
            level += 1
        self._keep(m, choices[0], found)
        return m

    def _keep(self, m: Module, least: _Error, found: Value | None) -> None:
        """The error that counts, from when it is found on; what was found before may stay."""
        code, index = Signal(4), Signal(INDEX_BITS, init=_NOBODY)
        m.d.comb += [code.eq(least[0]), index.eq(least[1])]
        is_first = found if found is not None else ~self.halt & (code != ErrorCode.NONE)
        with m.If(self.running & is_first):
            m.d.sync += [self.code.eq(code), self.index.eq(index), self.halt.eq(1)]
        with m.If(self.clear):
            m.d.sync += [self.code.eq(0), self.index.eq(_NOBODY), self.halt.eq(0)]

    def _registered(self, m: Module, choices: list[_Error]) -> tuple[list[_Error], Value]:
        """What was found in the cycle before, or earlier: once there is something it stays."""
        kept: list[_Error] = []
        found = Signal(name="found")
        for place, (code, index) in enumerate(choices):
            was_code = Signal(4, name=f"code{place}")
            was_index = Signal(INDEX_BITS, name=f"index{place}")
            with m.If(~found):
                m.d.sync += [was_code.eq(Mux(self.running, code, 0)), was_index.eq(index)]
            with m.If(self.clear):
                m.d.sync += was_code.eq(0)
            kept.append((was_code, was_index))
        m.d.comb += found.eq(Cat(code for code, _ in kept).any())
        return kept, found

    def _lower(self, m: Module, name: str, pair: list[_Error]) -> _Error:
        """Of two errors the one that counts; of one that one."""
        if len(pair) == 1:
            return pair[0]
        (code, index), (other_code, other_index) = pair
        m.submodules[name] = choice = LowerCode()
        m.d.comb += [
            choice.code.eq(code),
            choice.index.eq(index),
            choice.other_code.eq(other_code),
            choice.other_index.eq(other_index),
        ]
        return choice.least_code, choice.least_index

    def _owners(self, m: Module) -> list[tuple[int, Value]]:
        """Bits of ``address`` and ``conflict`` that can be set, and the instruction of each.

        Words are read for the instruction that started last; what is written may be older.
        """
        owners: list[tuple[int, Value]] = []
        for unit in (Unit.WEIGHT, Unit.STREAM, Unit.VECTOR, Unit.STORE):
            owner = Signal(INDEX_BITS, name=f"{unit.name.lower()}_owner")
            with m.If(self.start[unit]):
                m.d.sync += owner.eq(self.start_index[unit])
            owners.append((unit, owner))
        writers = {Unit.LOAD: self.load_index, Unit.STREAM: self.target_index}
        writers[Unit.VECTOR] = self.vector_index
        return [*owners, *((_UNITS + unit, index) for unit, index in writers.items())]

    def _candidates(self, m: Module) -> list[_Error]:
        """Everybody who may have found one; of equal codes the first counts."""
        found: list[_Error] = []
        for bit, owner in self._owners(m):
            conflict = Mux(self.conflict[bit], ErrorCode.PORT_CONFLICT, ErrorCode.NONE)
            found.append((Mux(self.address[bit], ErrorCode.ADDRESS, conflict), owner))
        for unit in Unit:
            semaphore = Mux(self.semaphore_error[unit], ErrorCode.SEMAPHORE, ErrorCode.NONE)
            found += [
                (self.code_of[unit], self.index_of[unit]),
                (semaphore, self.semaphore_index[unit]),
            ]
        at_limit = (self.cycle_limit != 0) & (self.cycle == self.cycle_limit)
        return [
            *found,
            (self.fetch_code, self.fetch_index),
            (Mux(self.target_error, ErrorCode.ADDRESS, ErrorCode.NONE), self.target_index),
            (Mux(self._load_outside(), ErrorCode.ADDRESS, ErrorCode.NONE), self.load_index),
            (Mux(at_limit, ErrorCode.CYCLE_LIMIT, ErrorCode.NONE), _NOBODY),
            (Mux(self.stop, ErrorCode.STOPPED, ErrorCode.NONE), _NOBODY),
        ]

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


class LowerCode(Shared):
    """Of two errors the one with the lower code, or the first.

    Members
    -------
    code, index, other_code, other_index
        Two errors; code 0 is none.
    least_code, least_index
        The one that counts.
    """

    def __init__(self) -> None:
        members: dict[str, Any] = {}
        for name in ("", "other_"):
            members |= {f"{name}code": In(4), f"{name}index": In(INDEX_BITS)}
        super().__init__({**members, "least_code": Out(4), "least_index": Out(INDEX_BITS)})

    def body(self, platform: Any) -> Elaboratable:
        """One comparison."""
        m = Module()
        other = (self.other_code != 0) & ((self.code == 0) | (self.other_code < self.code))
        m.d.comb += [
            self.least_code.eq(Mux(other, self.other_code, self.code)),
            self.least_index.eq(Mux(other, self.other_index, self.index)),
        ]
        return m
