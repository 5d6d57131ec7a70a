"""A machine's units, and the banks that all operators share: sums, parameters, tables."""

from __future__ import annotations

from pulsarray.compiler.machine.array import Array
from pulsarray.compiler.machine.emitter import Access
from pulsarray.compiler.machine.vector import VectorUnit
from pulsarray.config import Config
from pulsarray.isa import Bank

__all__ = ["PARAMETER_COLUMNS", "Chip"]

PARAMETER_COLUMNS = 4
"""Words of one row of the parameter bank: bias, multiplier, shift, constant."""


class Chip(Array, VectorUnit):
    """Emits instructions of all units.

    Parameters
    ----------
    config
        The machine.

    Members
    -------
    sums
        Accumulator banks that products are summed up in, in turn.
    """

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.sums = [Bank.ACCUMULATOR + number for number in range(config.accumulator_banks)]
        self._turn = 0

    def next_sums(self, avoid: int = -1) -> int:
        """The bank of the next sums, all but one in turn."""
        self._turn += 1
        banks = [bank for bank in self.sums if bank != avoid]
        return banks[self._turn % len(banks)]

    def parameter_access(self, row: int, count: int = 1) -> Access:
        """Words of rows of parameters."""
        first, end = row * PARAMETER_COLUMNS, (row + count) * PARAMETER_COLUMNS
        return Access(Bank.PARAMETER, first, end, False)

    def table_access(self, table: int) -> Access:
        """Words of a function table."""
        words = self.config.table_planes * self.config.table_words
        return Access(Bank.TABLE, table * words, (table + 1) * words, False)
