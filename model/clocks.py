"""What is known to be complete when an instruction touches its words, whatever time things take.

A clock gives for each unit the index of the last instruction that is complete; those before it in
its unit are, too. Clocks grow by the rules of docs/machine.md, section 10.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence

from pulsarray.config import SEMAPHORES
from pulsarray.isa import Instruction, Opcode, Unit
from pulsarray.model.addresses import tiles_needed
from pulsarray.model.plan import bits

__all__ = ["Clock", "Clocks"]

Clock = Sequence[int]

_NOTHING: Clock = (-1,) * len(Unit)


def _later(one: Clock, other: Clock) -> Clock:
    """What either knows."""
    return one if one is other else tuple(map(max, one, other))


class Clocks:
    """Clocks of a program's instructions, one after the other in an order that semaphores allow.

    Parameters
    ----------
    instructions
        Those before END, in program order.
    """

    def __init__(self, instructions: Sequence[Instruction]) -> None:
        self._totals: list[dict[int, int]] = [defaultdict(int) for _ in range(SEMAPHORES)]
        for instruction in instructions:
            for k in bits(instruction.values[3]):
                self._totals[k][_unit(instruction)] += 1
        self._sums = [sum(totals.values()) for totals in self._totals]
        self._signals: list[dict[int, list[Clock]]]
        self._signals = [defaultdict(list) for _ in range(SEMAPHORES)]
        self._taken = [0] * SEMAPHORES
        self._started: list[Clock] = [_NOTHING] * len(Unit)
        self._completed: list[Clock] = [_NOTHING] * len(Unit)
        self._tiles: deque[list[int]] = deque()  # of each WEIGHT: its index, tiles not yet taken
        self._weights: dict[int, tuple[Clock, Clock]] = {}
        self._taken_weights = _NOTHING  # of the last WEIGHT all of whose tiles are taken

    def advance(self, index: int, instruction: Instruction) -> Clock:
        """Run the next instruction: what is complete when it touches its first word."""
        unit = _unit(instruction)
        known = self._started[unit]
        for k in bits(instruction.values[2]):
            known = self._take(k, known)
        if instruction.op is Opcode.STREAM:
            known = self._take_tiles(instruction, known)
        self._started[unit] = known
        complete = _later(known, self._completed[unit])
        if instruction.op is Opcode.STREAM:
            complete = _later(complete, self._taken_weights)
        complete = (*complete[:unit], index, *complete[unit + 1 :])
        self._completed[unit] = complete
        for k in bits(instruction.values[3]):
            self._signals[k][unit].append(complete)
        if instruction.op is Opcode.WEIGHT:
            self._tiles.append([index, instruction["count0"] * instruction["count1"]])
            self._weights[index] = (known, complete)
        return known

    def _take(self, k: int, known: Clock) -> Clock:
        """Wait for a semaphore: so many of its signals that none of a unit's can be missing."""
        self._taken[k] += 1
        total = self._sums[k]
        for unit, signals in self._signals[k].items():
            number = self._taken[k] - (total - self._totals[k][unit])
            if number > 0:
                known = _later(known, signals[number - 1])
        return known

    def _take_tiles(self, instruction: Instruction, known: Clock) -> Clock:
        """Take a STREAM's tiles: the WEIGHT of the first has started."""
        known = _later(known, self._taken_weights)
        needed = tiles_needed(instruction)
        if needed:
            known = _later(known, self._weights[self._tiles[0][0]][0])
        while needed:
            index, left = self._tiles[0]
            taken = min(needed, left)
            needed -= taken
            self._tiles[0][1] -= taken
            if taken == left:
                self._tiles.popleft()
                self._taken_weights = self._weights.pop(index)[1]
        return known


def _unit(instruction: Instruction) -> Unit:
    unit = instruction.format.unit
    assert unit is not None
    return unit
