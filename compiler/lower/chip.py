"""The machine's memories while a network of feature maps is scheduled."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

from pulsarray.compiler.machine.banks import BlockCache, Pool, Resident, Slot
from pulsarray.compiler.machine.chip import PARAMETER_COLUMNS, Chip
from pulsarray.compiler.machine.loops import merged
from pulsarray.compiler.machine.transfers import REWRITTEN
from pulsarray.compiler.machine.views import Area, Stored, View, Words
from pulsarray.config import Config
from pulsarray.isa import Bank, Opcode
from pulsarray.program import Tensor

__all__ = ["BankShares", "Cached", "MapChip", "Use", "Words"]

_TRANSFER_LEVELS = 2


@dataclass(frozen=True)
class BankShares:
    """Scratchpad banks of each use.

    Parameters
    ----------
    source, weight
        What LOAD brings for STREAM (or the vector unit), and for WEIGHT.
    second
        Second operands of the vector unit.
    result
        Results on their way to memory.
    resident
        Maps that stay on chip.
    """

    source: tuple[int, ...]
    weight: tuple[int, ...]
    second: tuple[int, ...]
    result: tuple[int, ...]
    resident: tuple[int, ...] = ()


class Cached:
    """Blocks of one operand in slots of a pool, loaded where they are not there yet."""

    def __init__(self, pool: Pool, size: int, uses: Sequence[Hashable]) -> None:
        self._cache = BlockCache(pool.carve(size, len(set(uses))), uses)

    def find(self, key: Hashable, step: int) -> tuple[Resident, bool]:
        """The block, and whether it has to be loaded now."""
        resident = self._cache.find(key, step)
        missing = not resident.loaded
        resident.loaded.add(0)
        return resident, missing


class Use(NamedTuple):
    """What a step looks for in a cache."""

    cache: Cached
    key: Hashable
    step: int


class MapChip(Chip):
    """Pools of banks, the parameter and table banks, the array and the vector unit.

    Parameters
    ----------
    config
        The machine.
    shares
        What each scratchpad bank is for.
    """

    def __init__(self, config: Config, shares: BankShares) -> None:
        super().__init__(config)
        depth = config.scratchpad_depth
        self.shares = shares
        self._streamed = (*shares.source, *shares.weight)
        self._split = len(shares.source)
        self._pools: dict[int, tuple[Pool, Pool]] = {}
        self.sources, self.weights = self.pools(self._split)
        self.seconds = Pool(shares.second, depth) if shares.second else None
        self.results = Pool(shares.result, depth) if shares.result else None
        self._parameters = Pool((Bank.PARAMETER,), config.parameter_depth)
        self._table = 0

    def pools(self, source_banks: int) -> tuple[Pool, Pool]:
        """Pools for the streamed operand and for weights; 0 keeps the split of the layer before."""
        split = self._split = source_banks or self._split
        if split not in self._pools:
            depth, banks = self.config.scratchpad_depth, self._streamed
            self._pools[split] = Pool(banks[:split], depth), Pool(banks[split:], depth)
        return self._pools[split]

    def parameter_cache(self, rows: int, uses: Sequence[Hashable]) -> Cached:
        """Slots of so many rows of the parameter bank."""
        return Cached(self._parameters, rows, uses)

    def parameter_rows(self, rows: int) -> int:
        """The first of so many rows of the parameter bank."""
        return self._parameters.carve(rows, 1)[0].base

    def load_parameters(
        self, layer: int, tensor: Tensor, first: int, count: int, row: int, columns: int
    ) -> None:
        """LOAD rows of per-lane constants, of which so many columns are used.

        The others are left out of a single row, where that makes no further bursts.
        """
        used = columns if 1 in (count, columns) else PARAMETER_COLUMNS
        word, local = first * PARAMETER_COLUMNS, row * PARAMETER_COLUMNS
        strides = PARAMETER_COLUMNS, PARAMETER_COLUMNS
        self.load(layer, tensor, word, Bank.PARAMETER, local, used, count, *strides)

    def load_table(self, layer: int, tensor: Tensor) -> int:
        """LOAD a function table; its number."""
        words = self.config.table_words
        table = self._table % self.config.tables
        self._table += 1
        self.load(layer, tensor, 0, Bank.TABLE, table * words, words)
        return table

    def hold(self, layer: int, tensor: Tensor) -> Slot:
        """LOAD a tensor of one column block to where weights are."""
        slot = self.weights.carve(tensor.rows, 1)[0]
        self.load(layer, tensor, 0, slot.bank, slot.base, tensor.rows)
        return slot

    def cached_words(
        self, layer: int, use: Use, tensor: Tensor, word: int, rows: int
    ) -> tuple[int, int]:
        """Bank and first of some words of a tensor, which are LOADed if they are not there."""
        resident, missing = use.cache.find(use.key, use.step)
        slot = resident.slot
        if missing:
            self.load(layer, tensor, word, slot.bank, slot.base, rows)
        return slot.bank, slot.base

    def cached_area(self, layer: int, use: Use | None, stored: Stored, area: Area) -> View:
        """An area of a map, LOADed if it is in memory and not there; a map on chip without use."""
        if use is None:
            return stored.view
        resident, missing = use.cache.find(use.key, use.step)
        slot = resident.slot
        if missing:
            return self.load_area(layer, stored, area, slot.bank, slot.base)
        return stored.packed(slot.bank, slot.base, area)

    def load_area(self, layer: int, stored: Stored, area: Area, bank: int, base: int) -> View:
        """LOAD an area of a map from memory, packed, into a bank from a word on."""
        view = stored.packed(bank, base, area)
        if not view.steps[0]:
            area = area.of(area.blocks[0])
        self._move(Opcode.LOAD, layer, stored, area, view)
        return view

    def store_area(self, layer: int, stored: Stored, area: Area, view: View) -> None:
        """STORE an area of a map to memory."""
        self._move(Opcode.STORE, layer, stored, area, view)

    def _move(self, op: Opcode, layer: int, stored: Stored, area: Area, view: View) -> None:
        tensor = stored.tensor
        assert tensor is not None
        to_memory = op is Opcode.STORE
        size = 4 if stored.sums else 1
        touched = view.accesses(area, write=not to_memory)
        if tensor.role in REWRITTEN:
            touched += stored.in_memory(area, self.number(tensor), write=to_memory)
        loops = _loops(area, view, stored)
        run = loops.pop()[0] if loops and loops[-1][1:] == (1, 1) else 1
        split = max(len(loops) - _TRANSFER_LEVELS, 0)
        unrolled, loops = loops[:split], loops[split:]
        levels: dict[str, int] = {}
        for level, (count, local, memory) in enumerate(reversed(loops)):
            levels |= {
                f"count{1 - level}": count,
                f"local_stride{1 - level}": local,
                f"memory_stride{1 - level}": memory * size,
            }
        for indices in product(*(range(count) for count, *_ in unrolled)):
            steps = list(zip(indices, unrolled, strict=True))
            word = stored.word(area) + sum(index * memory for index, (*_, memory) in steps)
            fields = {
                "bank": view.bank,
                "local": view.first(area) + sum(index * local for index, (_, local, _) in steps),
                "run": run,
                "address": tensor.address + word * size * self.config.word_bytes,
            }
            self.emitter.emit(op, layer, touched, **fields | levels)


def _loops(area: Area, view: View, stored: Stored) -> list[tuple[int, ...]]:
    """Count, step on chip and step in memory of each loop over an area, as few as possible."""
    return merged(zip(area.counts, view.steps, stored.steps, strict=True))
