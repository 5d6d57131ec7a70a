"""Words of the scratchpad: slots that hold blocks, and which block is in which slot."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Hashable, Iterable, Sequence
from dataclasses import dataclass, field

__all__ = ["BlockCache", "Pool", "Resident", "Slot", "Space"]


@dataclass(frozen=True, slots=True)
class Slot:
    """Room for one block: a bank and the first word in it."""

    bank: int
    base: int


class Space:
    """Free words of some banks: maps take them for as long as they live.

    What is taken by :meth:`hold` lives until a time; all else until it is given back.

    Parameters
    ----------
    banks, depth
        The banks, and words in each.
    """

    def __init__(self, banks: Iterable[int], depth: int) -> None:
        self._free = {bank: [(0, depth)] for bank in banks}
        self._held: list[tuple[int, tuple[int, int, int]]] = []

    def take(
        self, words: int, avoid: Collection[int] = (), prefer: Collection[int] = ()
    ) -> tuple[int, int] | None:
        """Bank and first of some words in a row, in a preferred or else the emptiest bank."""
        allowed = [bank for bank in self._free if bank not in avoid]
        order = sorted(allowed, key=lambda b: (b not in prefer, -self._room(b)))
        return self.take_first(words, order)

    def take_first(self, words: int, banks: Iterable[int]) -> tuple[int, int] | None:
        """The same in the first of the banks that has so many."""
        for bank in banks:
            for place, (low, high) in enumerate(self._free[bank]):
                if high - low >= words:
                    self._free[bank][place] = (low + words, high)
                    return bank, low
        return None

    def hold(
        self, words: int, banks: Iterable[int], life: tuple[int, int]
    ) -> tuple[int, int] | None:
        """As :meth:`take_first`, from one time to another; what lived until before is free."""
        first, last = life
        for _, gone in [held for held in self._held if held[0] < first]:
            self.give(*gone)
        self._held = [held for held in self._held if held[0] >= first]
        if (place := self.take_first(words, banks)) is not None:
            self._held.append((last, (*place, words)))
        return place

    def give(self, bank: int, low: int, words: int) -> None:
        """Words are free again."""
        spans = sorted([*self._free[bank], (low, low + words)])
        merged = [spans[0]]
        for first, last in spans[1:]:
            if first <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
            else:
                merged.append((first, last))
        self._free[bank] = [span for span in merged if span[0] < span[1]]

    def _room(self, bank: int) -> int:
        return sum(high - low for low, high in self._free[bank])


class Pool:
    """Banks from which layer after layer carves its slots.

    Each layer starts where the one before it stopped, so that its first blocks can be loaded while
    the layer before still uses its own.

    Parameters
    ----------
    banks
        Numbers of the banks.
    depth
        Words of each.
    """

    def __init__(self, banks: Sequence[int], depth: int) -> None:
        self._banks = tuple(banks)
        self._depth = depth
        self._bank = 0
        self._offset = 0

    def carve(self, size: int, limit: int) -> list[Slot]:
        """At most ``limit`` disjoint slots of ``size`` words."""
        if self._offset + size > self._depth:
            self._next_bank()
        slots = self._from_cursor(size, limit)
        wanted = min(limit, len(self._banks) * (self._depth // size))
        if len(slots) < wanted:
            self._offset = 0
            slots = self._from_cursor(size, limit)
        return slots

    def _from_cursor(self, size: int, limit: int) -> list[Slot]:
        slots: list[Slot] = []
        first, start, wrapped = self._bank, self._offset, False
        while len(slots) < limit:
            if self._offset + size > self._depth:
                self._next_bank()
                wrapped = wrapped or self._bank == first
            if wrapped and (self._bank != first or self._offset + size > start):
                break
            slots.append(Slot(self._banks[self._bank], self._offset))
            self._offset += size
        return slots

    def _next_bank(self) -> None:
        self._bank = (self._bank + 1) % len(self._banks)
        self._offset = 0


@dataclass(slots=True)
class Resident:
    """A block in a slot, and the columns of it that have been loaded so far."""

    key: Hashable
    slot: Slot
    used: int
    loaded: set[int] = field(default_factory=set)


class BlockCache:
    """Blocks of one operand in its slots; the sequence of uses is known from the start.

    Parameters
    ----------
    slots
        The slots.
    uses
        Key of the block that each step uses.

    Notes
    -----
    The block thrown out is the one whose next use is furthest away, among those that the last
    step did not use: a slot that has just been used would make its LOAD wait for that use.
    """

    def __init__(self, slots: Sequence[Slot], uses: Sequence[Hashable]) -> None:
        self._free = list(reversed(slots))
        self._residents: dict[Hashable, Resident] = {}
        self._uses: dict[Hashable, list[int]] = {}
        for step, key in enumerate(uses):
            self._uses.setdefault(key, []).append(step)

    def find(self, key: Hashable, step: int) -> Resident:
        """The block, in a slot; ``loaded`` is empty if it was not there."""
        resident = self._residents.get(key)
        if resident is None:
            slot = self._free.pop() if self._free else self._evict(step)
            resident = self._residents[key] = Resident(key, slot, step)
        resident.used = step
        return resident

    def _evict(self, step: int) -> Slot:
        residents = self._residents.values()
        rested = [r for r in residents if r.used < step - 1]
        if rested:
            victim = max(rested, key=lambda r: (self._next_use(r.key, step), -r.used))
        else:
            victim = min(residents, key=lambda r: r.used)
        del self._residents[victim.key]
        return victim.slot

    def _next_use(self, key: Hashable, step: int) -> int:
        uses = self._uses[key]
        place = bisect_right(uses, step)
        return uses[place] if place < len(uses) else 1 << 62
