"""Time on the memory bus: bursts and both channels (docs/machine.md, section 4)."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter

from pulsarray.config import Config
from pulsarray.isa import FORMATS, Bank, Instruction, Opcode

__all__ = ["ReadChannel", "WriteChannel", "burst_lengths"]

_LONG_AGO = -(1 << 40)


def burst_lengths(instruction: Instruction, config: Config) -> list[int]:
    """Beats of every burst of a LOAD or STORE, in order."""
    word, beat, longest = config.word_bytes, config.bus_bytes, config.burst_bytes
    bank, run, start, count0, count1, stride0, stride1 = _TRANSFER(instruction.values)
    run *= word if bank in _OPERAND_BANKS else 4 * word
    lengths: list[int] = []
    for outer in range(count0):
        base = start + outer * stride0 * word
        for inner in range(count1):
            address = base + inner * stride1 * word
            left = run
            while left:
                size = min(left, longest, 4096 - address % 4096)
                lengths.append(size // beat)
                address += size
                left -= size
    return lengths


_TRANSFER_FIELDS = (
    *("bank", "run", "address"),
    *("count0", "count1", "memory_stride0", "memory_stride1"),
)
_TRANSFER = itemgetter(*(FORMATS[Opcode.LOAD].index[name] for name in _TRANSFER_FIELDS))
_OPERAND_BANKS = frozenset((*range(Bank.ACCUMULATOR), int(Bank.TABLE)))


class ReadChannel:
    """The read side of the bus: grants in order, data in order.

    Parameters
    ----------
    latency, interval
        L and I of the memory, cycles.
    outstanding
        Bursts that may be outstanding.
    """

    def __init__(self, latency: int, interval: int, outstanding: int) -> None:
        self.latency = latency
        self.interval = interval
        self.outstanding = outstanding
        self.beats = 0
        self.last = _LONG_AGO
        self._lasts: list[int] = []
        self._free = 0

    def earliest(self, want: int) -> int:
        """First cycle from ``want`` on in which the next burst can be granted."""
        cycle = want if want > self._free else self._free
        place = len(self._lasts) - self.outstanding
        if place >= 0 and self._lasts[place] >= cycle:
            return self._lasts[place] + 1
        return cycle

    def grant(self, cycle: int, beats: int) -> int:
        """Grant a burst in a cycle; returns the cycle of its first beat."""
        first = cycle + 1 + self.latency
        if first < self.last + self.interval:
            first = self.last + self.interval
        self.last = first + (beats - 1) * self.interval
        self._lasts.append(self.last)
        self._free = cycle + 1
        self.beats += beats
        return first


class WriteChannel:
    """The write side of the bus; only STORE uses it, so its times follow from its start."""

    def __init__(self, latency: int, interval: int, outstanding: int) -> None:
        self.latency = latency
        self.interval = interval
        self.outstanding = outstanding
        self.beats = 0
        self._responses: list[int] = []
        self._served = _LONG_AGO

    def transfer(self, start: int, lengths: Sequence[int]) -> tuple[int, int]:
        """Times of a STORE that starts in a cycle: (last cycle of the front, last response)."""
        slot, responses = start + 1, self._responses
        response = responses[-1] if responses else _LONG_AGO
        for beats in lengths:
            place = len(responses) - self.outstanding
            if place >= 0 and responses[place] >= slot:
                slot = responses[place] + 1
            served = max(self._served, slot + 2) + beats * self.interval
            self._served = max(served, slot + 2 + beats)
            response = max(self._served, slot + 1 + self.latency, response + 1)
            responses.append(response)
            slot += beats
            self.beats += beats
        return slot - 1, response
