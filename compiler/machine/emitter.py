"""Instructions in sequential order, and the semaphores that let the units run ahead of it.

The scheduler emits instructions as if they ran one after the other, each with the words it reads
and writes. From that follows which instruction must wait for which: for data (read after write,
write after read, write after write) and for ports (two units never hold one port of one bank).
Every pair of units has a channel of its own, which is one semaphore: since the units complete in
order, an instruction waits for the latest one that it needs, and only if that does not follow from
what it, or something before it in its unit, has waited for: of every instruction a vector clock
tells what is complete in each unit when it starts. So every signal is taken exactly once.

No count overflows, whatever the time things take. An instruction waits for one of the last
:data:`_LATE` of a unit (so for a later one than it needs), and at most :data:`_AHEAD` signals that
it knew of are left when it starts; the sum of both, and of all that a queue holds, fits a count.

There are more pairs of units than semaphores. Pairs with the vector unit always have a channel; if
the others run out, an instruction of the vector unit that does nothing else passes the signal on.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from pulsarray.compiler.machine.loops import merged
from pulsarray.config import QUEUE_MAX, SEMAPHORE_MAX, SEMAPHORES
from pulsarray.isa import FORMATS, Bank, Instruction, Opcode, Unit

__all__ = ["MEMORY", "Access", "Emitter", "Operation", "accesses", "spans"]

MEMORY = 0x100
"""Where :class:`Access` numbers what lies in memory: this, plus the number of the tensor."""

_READ, _WRITE = 1, 2
_DEFAULTS = {op: Instruction.make(op).values for op in FORMATS}
# Enumerations cost more than the arithmetic here, and this runs for every instruction.
_VECTOR, _PARAMETER = int(Unit.VECTOR), int(Bank.PARAMETER)
_VECTOR_PAIRS = {pair for unit in map(int, Unit) for pair in ((unit, _VECTOR), (_VECTOR, unit))}
_LATE = 40
"""An instruction that is waited for is one of so many of its unit, the last ones then."""
_AHEAD = SEMAPHORE_MAX - QUEUE_MAX - 1 - _LATE
"""Signals of a channel that may be left, of those known when an instruction is emitted."""
_MANY = 64
"""More separate ranges than this are followed as one, gaps included."""
_TIDY = 16
"""So many regions more than were of interest, and those that are not are forgotten."""


class Access(NamedTuple):
    """Words ``low .. high-1`` of a bank (or of a tensor in memory) that an instruction touches.

    Parameters
    ----------
    bank
        Number of the bank, or :data:`MEMORY` plus the number of a tensor.
    low, high
        First word, and one past the last.
    write
        Whether it writes them.
    exclusive
        Whether the unit holds both ports (STREAM's accumulator bank).
    """

    bank: int
    low: int
    high: int
    write: bool
    exclusive: bool = False

    @property
    def ports(self) -> int:
        """Ports of the bank that the unit holds: 1 for reading, 2 for writing."""
        if self.bank >= _PARAMETER:
            return 0
        return _READ | _WRITE if self.exclusive else (_WRITE if self.write else _READ)


def accesses(
    bank: int, base: int, loops: Sequence[tuple[int, int]], *, write: bool
) -> Iterator[Access]:
    """Ranges of words that a nest of (count, step) touches: one an outermost iteration.

    Steps are not negative. Gaps inside an iteration count as touched.
    """
    nest = merged(loop for loop in loops if loop[1])
    apart = bool(nest) and nest[0][0] <= _MANY and (len(nest) > 1 or nest[0][1] > 1)
    (count, step), inner = (nest[0], nest[1:]) if apart else ((1, 0), nest)
    size = 1 + sum((n - 1) * s for n, s in inner)
    for index in range(count):
        low = base + index * step
        yield Access(bank, low, low + size, write)


def spans(bank: int, low: int, rows: int, blocks: int, stride: int, *, write: bool) -> list[Access]:
    """Accesses to ``rows`` words of each of ``blocks`` blocks, ``stride`` words apart."""
    return list(accesses(bank, low, [(blocks, stride), (rows, 1)], write=write))


@dataclass(slots=True)
class Operation:
    """An instruction whose semaphores are still being collected."""

    op: Opcode
    layer: int
    fields: dict[str, int]
    wait: int = 0
    signal: int = 0

    def instruction(self) -> Instruction:
        """The finished instruction; its values are checked when it is encoded."""
        form, values = FORMATS[self.op], list(_DEFAULTS[self.op])
        index = form.index
        values[index["wait"]], values[index["signal"]] = self.wait, self.signal
        for name, value in self.fields.items():
            values[index[name]] = int(value)
        return Instruction(form, tuple(values))


@dataclass(slots=True)
class _Regions:
    """First word, and one past the last, of regions, each with who used it last.

    They are in order of their instructions.
    """

    users: dict[tuple[int, int], int] = field(default_factory=dict)
    limit: int = _TIDY

    def latest(self, access: Access, after: int) -> int:
        """Index of the last instruction that used a word of ``access``, if it is after another."""
        first, last = access.low, access.high
        for (low, high), index in reversed(self.users.items()):
            if index <= after:
                break
            if low < last and first < high:
                return index
        return after

    def note(self, access: Access, index: int) -> None:
        """Record an access; those that it covers are no longer of interest."""
        key = access.low, access.high
        self.users.pop(key, None)
        self.users[key] = index
        if len(self.users) > self.limit:
            self._tidy()

    def _tidy(self) -> None:
        """Forget regions that a later one covers."""
        kept: list[tuple[tuple[int, int], int]] = []
        firsts: list[int] = []  # Of those that no other one covers; their ends are in order, too.
        lasts: list[int] = []
        for region, index in reversed(self.users.items()):
            low, high = region
            place = bisect_right(firsts, low)
            if place and lasts[place - 1] >= high:
                continue
            kept.append((region, index))
            start = bisect_left(firsts, low)
            end = bisect_right(lasts, high)
            firsts[start:end], lasts[start:end] = [low], [high]
        self.users = dict(reversed(kept))
        self.limit = 2 * len(kept) + _TIDY


@dataclass(slots=True)
class _History:
    """What one unit did to one bank: its last use of each port, and of regions of words."""

    ports: list[int] = field(default_factory=lambda: [-1, -1])
    reads: _Regions = field(default_factory=_Regions)
    writes: _Regions = field(default_factory=_Regions)

    def latest(self, access: Access, ports: int) -> int:
        """Index of the last instruction that must be complete before ``access``, or -1."""
        last = max(self.ports[0] if ports & _READ else -1, self.ports[1] if ports & _WRITE else -1)
        last = self.writes.latest(access, last)
        return self.reads.latest(access, last) if access.write else last

    def note(self, access: Access, ports: int, index: int) -> None:
        """Record an access."""
        if ports & _READ:
            self.ports[0] = index
        if ports & _WRITE:
            self.ports[1] = index
        (self.writes if access.write else self.reads).note(access, index)


class Emitter:
    """Collects operations in sequential order.

    Members
    -------
    operations
        Everything emitted so far.
    """

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        self._banks: dict[int, dict[int, _History]] = defaultdict(dict)
        self._channels: dict[tuple[int, int], int] = {}
        self._places: list[list[int]] = [[] for _ in Unit]
        self._taken: list[dict[int, deque[int]]] = [defaultdict(deque) for _ in Unit]
        self._clocks: list[list[int]] = []
        self._latest = [[-1] * len(Unit) for _ in Unit]

    def emit(
        self,
        op: Opcode,
        layer: int,
        accesses: Iterable[Access],
        *,
        after: int | None = None,
        **fields: int,
    ) -> int:
        """Add an instruction with what it reads and writes; its number.

        ``after`` is the number of one in the same unit that must be complete when it starts.
        """
        unit = FORMATS[op].unit
        assert unit is not None
        touched = [(access, access.ports) for access in accesses]
        needed: dict[int, int] = {}
        for access, ports in touched:
            for other, history in self._banks.get(access.bank, {}).items():
                if other != unit:
                    latest = history.latest(access, ports)
                    if latest > needed.get(other, -1):
                        needed[other] = latest
        if after is not None:
            needed[unit] = after
        self._limit(unit, needed)
        new = 0
        for other in sorted(needed):
            waits = self._latest[unit][other] < needed[other]
            if self._direct(other, unit, new):
                new += waits and self._is_new(other, unit)
                continue
            latest = needed.pop(other)
            if waits:
                needed[_VECTOR] = self._relay(other, latest, layer)
        self._add(Operation(op, layer, fields), unit, needed)
        index = len(self.operations) - 1
        for access, ports in touched:
            units = self._banks[access.bank]
            if unit not in units:
                units[unit] = _History()
            units[unit].note(access, ports, index)
        return index

    def _relay(self, producer: int, latest: int, layer: int) -> int:
        """An instruction of the vector unit that is complete only after another one."""
        # No register is smaller: nothing is written.
        nothing = {"register": 1, "value": -128, "maximum": 1}
        needed = {producer: latest}
        self._limit(Unit.VECTOR, needed)
        self._add(Operation(Opcode.EXPONENT, layer, nothing), Unit.VECTOR, needed)
        return len(self.operations) - 1

    def _limit(self, unit: int, needed: dict[int, int]) -> None:
        """Wait also for those that take signals of the unit, where many are left."""
        for other, left in self._taken[unit].items():
            if other == unit:  # Where a unit waits for itself it has taken them.
                continue
            while left and left[0] <= self._latest[unit][other]:
                left.popleft()
            if len(left) >= _AHEAD:
                needed[other] = max(needed.get(other, -1), left[_AHEAD // 2])

    def _add(self, operation: Operation, unit: int, needed: dict[int, int]) -> None:
        """Add an operation that waits for the latest of other units that it needs."""
        index = len(self.operations)
        self.operations.append(operation)
        known = self._latest[unit]
        for latest, other in sorted(((j, other) for other, j in needed.items()), reverse=True):
            if known[other] < latest:
                places = self._places[other]
                latest = max(latest, places[max(len(places) - _LATE, 0)])
                self._wait(unit, index, other, latest)
                known = list(map(max, known, self._clocks[latest]))
        self._latest[unit] = known
        self._places[unit].append(index)
        self._clocks.append([*known[:unit], index, *known[unit + 1 :]])

    def _is_new(self, producer: int, unit: int) -> bool:
        """Whether a pair of units has no channel of its own, and none is kept for it."""
        return (producer, unit) not in self._channels and _VECTOR not in (producer, unit)

    def _direct(self, producer: int, unit: int, new: int) -> bool:
        """Whether a pair of units has, or beside so many new ones can have, its own channel."""
        channels = self._channels
        if not self._is_new(producer, unit):
            return True
        reserved = sum(pair not in channels for pair in _VECTOR_PAIRS)
        return len(channels) + reserved + new < SEMAPHORES

    def _wait(self, unit: int, index: int, producer: int, latest: int) -> None:
        number = self._channels.setdefault((producer, unit), len(self._channels))
        self.operations[index].wait |= 1 << number
        self.operations[latest].signal |= 1 << number
        self._taken[producer][unit].append(index)
