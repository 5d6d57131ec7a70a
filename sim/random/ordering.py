"""Semaphores that make a random instruction sequence legal: who must wait for whom, and how.

Instructions are added in program order. Each is ordered after every earlier instruction that uses
the same port of a bank, or whose words it depends on, unless that already follows from other waits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from pulsarray.config import SEMAPHORES
from pulsarray.isa import FORMATS, Bank, Instruction, Opcode, Unit

__all__ = ["Ordering", "Use"]

_UNITS = {op: form.unit for op, form in FORMATS.items() if form.unit is not None}

Words = npt.NDArray[np.int64]
Pair = tuple[Unit, Unit]

_L, _W, _S, _V, _T = Unit
_KEPT: tuple[Pair, ...] = (
    (_L, _W), (_L, _S), (_L, _V), (_L, _T), (_S, _L), (_S, _V), (_S, _T), (_S, _W),
    (_V, _S), (_V, _T), (_V, _L), (_T, _L), (_W, _T),
)  # fmt: skip
_OPTIONAL: tuple[Pair, ...] = (
    (_W, _L), (_W, _V), (_V, _W), (_V, _V), (_T, _W), (_T, _S), (_T, _V),
)  # fmt: skip


@dataclass(frozen=True)
class Use:
    """Words that an instruction reads and writes, by bank; a bank with no words still holds a port.

    Parameters
    ----------
    op
        Opcode.
    fields
        Its fields but ``wait`` and ``signal``.
    reads, writes
        Word numbers by bank.
    """

    op: Opcode
    fields: Mapping[str, int]
    reads: Mapping[int, Words]
    writes: Mapping[int, Words]

    @property
    def unit(self) -> Unit:
        """The unit that executes it."""
        return _UNITS[self.op]


@dataclass
class _Placed:
    use: Use
    knows: dict[Unit, int]
    wait: int = 0
    signal: int = 0


def _overlap(a: Mapping[int, Words], b: Mapping[int, Words]) -> bool:
    return any(np.intersect1d(a[bank], b[bank]).size for bank in a.keys() & b.keys())


def _share_port(a: Mapping[int, Words], b: Mapping[int, Words]) -> bool:
    return any(0 <= bank < Bank.PARAMETER for bank in a.keys() & b.keys())


def _must_follow(later: Use, earlier: Use) -> bool:
    raw = _overlap(earlier.writes, later.reads)
    if later.unit is earlier.unit:
        # In order within a unit; only VECTOR reads words that its own earlier instruction may
        # still hold in the pipeline.
        return raw and later.unit is Unit.VECTOR
    return (
        raw
        or _overlap(earlier.reads, later.writes)
        or _overlap(earlier.writes, later.writes)
        or _share_port(earlier.reads, later.reads)
        or _share_port(earlier.writes, later.writes)
    )


@dataclass
class Ordering:
    """A growing program.

    Parameters
    ----------
    random
        Source of the choice of pairs of units that have a semaphore.
    """

    random: np.random.Generator
    _placed: list[_Placed] = field(default_factory=list)

    def __post_init__(self) -> None:
        spare = SEMAPHORES - len(_KEPT)
        chosen = self.random.choice(len(_OPTIONAL), spare, replace=False)
        pairs = [*_KEPT, *(_OPTIONAL[i] for i in chosen)]
        numbers = self.random.permutation(SEMAPHORES)
        self._semaphores = {pair: int(numbers[i]) for i, pair in enumerate(pairs)}

    def __len__(self) -> int:
        return len(self._placed)

    def fields(self, position: int) -> Mapping[str, int]:
        """The fields of an instruction."""
        return self._placed[position].use.fields

    def add(self, use: Use, feeding: int | None = None) -> bool:
        """Append an instruction, or return False where no semaphore can order it.

        ``feeding`` is the position of the WEIGHT whose tiles this STREAM consumes: it must not
        wait for that one, and what it consumed before is known to be complete.
        """
        knows = self._known_before(use.unit)
        if feeding is not None:
            self._learn_tiles(knows, feeding)
        needed = self._needed(use, knows)
        if feeding is not None and needed.get(Unit.WEIGHT, -1) == feeding:
            return False
        if any((unit, use.unit) not in self._semaphores for unit in needed):
            return False
        placed = _Placed(use, knows)
        for unit, position in needed.items():
            bit = 1 << self._semaphores[unit, use.unit]
            self._placed[position].signal |= bit
            placed.wait |= bit
            self._learn(knows, position)
        self._placed.append(placed)
        return True

    def snapshot(self) -> list[_Placed]:
        """The state now, for :meth:`restore`."""
        return [replace(placed) for placed in self._placed]

    def restore(self, snapshot: list[_Placed]) -> None:
        """Take back everything added since the snapshot, signals included."""
        self._placed = snapshot

    def _known_before(self, unit: Unit) -> dict[Unit, int]:
        for placed in reversed(self._placed):
            if placed.use.unit is unit:
                return dict(placed.knows)
        return dict.fromkeys(Unit, -1)

    def _learn(self, knows: dict[Unit, int], position: int) -> None:
        """Instruction ``position`` is complete: so are those before it in its unit, and its own."""
        done = self._placed[position]
        for unit, last in done.knows.items():
            knows[unit] = max(knows[unit], last)
        knows[done.use.unit] = max(knows[done.use.unit], position)

    def _learn_tiles(self, knows: dict[Unit, int], feeding: int) -> None:
        earlier = [i for i in range(feeding) if self._placed[i].use.unit is Unit.WEIGHT]
        if earlier:
            self._learn(knows, earlier[-1])

    def _needed(self, use: Use, knows: Mapping[Unit, int]) -> dict[Unit, int]:
        """The last instruction of each unit that must be complete first and is not known to be."""
        needed: dict[Unit, int] = {}
        for position in range(len(self._placed) - 1, -1, -1):
            earlier = self._placed[position].use
            if position <= knows[earlier.unit] or earlier.unit in needed:
                continue
            if _must_follow(use, earlier):
                needed[earlier.unit] = position
        return needed

    def instructions(self) -> Sequence[Instruction]:
        """The instructions with their waits and signals."""
        return [
            Instruction.make(p.use.op, wait=p.wait, signal=p.signal, **p.use.fields)
            for p in self._placed
        ]
