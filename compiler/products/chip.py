"""Who uses which bank: the machine's memories shared out between the layers of a program."""

from __future__ import annotations

from pulsarray.compiler.machine.banks import Pool
from pulsarray.compiler.machine.transfers import Transfers
from pulsarray.config import Config
from pulsarray.isa import Bank

__all__ = ["Chip"]


class Chip(Transfers):
    """State that lasts from one layer to the next while a program is scheduled.

    LOAD and VECTOR never write the same bank, nor do WEIGHT, STREAM and STORE read the same bank
    in steady state: the first banks hold what LOAD brings (streamed operand and weights apart),
    the last one or two what VECTOR writes (results and activations).

    Parameters
    ----------
    config
        The machine.
    layers
        Number of layers: a single one needs one bank for results, more need two in turn.

    Members
    -------
    free_banks
        Number of banks for streamed operands and weights.
    """

    def __init__(self, config: Config, layers: int) -> None:
        super().__init__(config)
        results = 1 if layers == 1 else 2
        self.free_banks = config.scratchpad_banks - results
        self._results = tuple(range(self.free_banks, config.scratchpad_banks))
        self._pools: dict[int, tuple[Pool, Pool]] = {}
        self._split = 1
        self._tile = 0
        self._row = 0
        self._table = 0

    def result_bank(self, layer: int) -> int:
        """Scratchpad bank that takes a layer's result."""
        return self._results[layer % len(self._results)]

    def pools(self, source_banks: int) -> tuple[Pool, Pool]:
        """Pools for the streamed operand and for weights; 0 keeps the split of the layer before."""
        split = self._split = source_banks or self._split
        if split not in self._pools:
            depth = self.config.scratchpad_depth
            source, weights = range(split), range(split, self.free_banks)
            self._pools[split] = (Pool(source, depth), Pool(weights, depth))
        return self._pools[split]

    def next_accumulator(self) -> int:
        """The accumulator bank of the next output tile, all in turn."""
        bank = self._tile % self.config.accumulator_banks
        self._tile += 1
        return Bank.ACCUMULATOR + bank

    def parameter_rows(self, count: int) -> int:
        """First of ``count`` consecutive rows of the parameter bank, in turn."""
        if self._row + count > self.config.parameter_depth:
            self._row = 0
        row = self._row
        self._row += count
        return row

    def next_table(self) -> int:
        """Number of the table that is filled next, in turn."""
        table = self._table % self.config.tables
        self._table += 1
        return table
