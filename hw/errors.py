"""Keeps the first error of a run (docs/machine.md, section 7)."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Elaboratable, Module, Signal, Value
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from pulsarray.config import Config
from pulsarray.hw.ports import ADDRESS_BITS, BANK_BITS
from pulsarray.hw.shared import Shared
from pulsarray.hw.unit import INDEX_BITS
from pulsarray.isa import Bank, Unit
from pulsarray.registers import ErrorCode

__all__ = ["Errors"]

_NOBODY = (1 << INDEX_BITS) - 1
_UNITS = len(Unit)


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
    fetch_code, fetch_index, code_of[unit], index_of[unit]
        Errors that a unit or FETCH found, with the instruction.
    semaphore
        A semaphore left its range.
    address, conflict
        Errors that the banks found, one bit a unit.
    load_write, load_bank, load_address, load_index
        What LOAD writes, to find words outside the parameter and table banks, and for whom.
    target_valid, target_index
        The instruction whose sums are at the accumulator.
    start, start_index
        The instructions that start, so that errors of the banks find their owner.
    code, index, halt
        The error that is kept, from the next cycle on, and whether there is one.
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
                "fetch_code": In(4),
                "fetch_index": In(INDEX_BITS),
                "code_of": In(data.ArrayLayout(4, _UNITS)),
                "index_of": In(indices),
                "semaphore": In(1),
                "address": In(_UNITS),
                "conflict": In(_UNITS),
                "load_write": In(1),
                "load_bank": In(BANK_BITS),
                "load_address": In(ADDRESS_BITS),
                "load_index": In(INDEX_BITS),
                "target_valid": In(1),
                "target_index": In(INDEX_BITS),
                "start": In(_UNITS),
                "start_index": In(indices),
                "code": Out(4),
                "index": Out(INDEX_BITS),
                "halt": Out(1),
                "clear": In(1),
            },
            parameters=config.parameter_depth,
            tables=config.tables * config.table_planes * config.table_words,
        )

    def body(self, platform: Any) -> Elaboratable:
        """A chain of candidates, the lowest code last so that it wins."""
        m = Module()
        owners = self._owners(m)
        code, index = Signal(4), Signal(INDEX_BITS, init=_NOBODY)
        m.d.comb += index.eq(_NOBODY)
        for kind in sorted(ErrorCode, reverse=True):
            for raised, owner in self._candidates(m, kind, owners):
                with m.If(raised):
                    m.d.comb += [code.eq(kind), index.eq(owner)]
        with m.If(self.running & ~self.halt & (code != 0)):
            m.d.sync += [self.code.eq(code), self.index.eq(index), self.halt.eq(1)]
        with m.If(self.clear):
            m.d.sync += [self.code.eq(0), self.index.eq(_NOBODY), self.halt.eq(0)]
        return m

    def _owners(self, m: Module) -> list[Value]:
        """The instruction that each unit works on, as far as the banks can tell."""
        owners: list[Value] = []
        for unit in Unit:
            owner = Signal(INDEX_BITS, name=f"{unit.name.lower()}_owner")
            with m.If(self.start[unit]):
                m.d.sync += owner.eq(self.start_index[unit])
            owners.append(owner)
        owners[Unit.LOAD] = self.load_index
        return owners

    def _candidates(
        self, m: Module, kind: ErrorCode, owners: list[Value]
    ) -> list[tuple[Value, Value | int]]:
        """Conditions that mean this kind of error, and whose it is."""
        found: list[tuple[Value, Value | int]] = [
            (self.code_of[unit] == kind, self.index_of[unit]) for unit in Unit
        ]
        found.append((self.fetch_code == kind, self.fetch_index))
        if kind is ErrorCode.NONE:
            return []
        if kind is ErrorCode.ADDRESS:
            found += [(self.address[unit], owners[unit]) for unit in Unit]
            found.append((self.address[Unit.STREAM] & self.target_valid, self.target_index))
            found.append((self._load_outside(), self.load_index))
        if kind is ErrorCode.PORT_CONFLICT:
            found += [(self.conflict[unit], owners[unit]) for unit in Unit]
        if kind is ErrorCode.SEMAPHORE:
            found.append((self.semaphore, _NOBODY))
        if kind is ErrorCode.CYCLE_LIMIT:
            at_limit = (self.cycle_limit != 0) & (self.cycle == self.cycle_limit)
            found.append((at_limit, _NOBODY))
        return found

    def _load_outside(self) -> Value:
        config = self._config
        rows = 4 * config.parameter_depth
        words = config.tables * config.table_planes * config.table_words
        outside = (self.load_bank == Bank.PARAMETER) & (self.load_address >= rows)
        outside = outside | ((self.load_bank == Bank.TABLE) & (self.load_address >= words))
        return self.load_write & outside
