"""Time on the memory bus: bursts and both channels (docs/machine.md, section 4)."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter

from pulsarray.config import Config
from pulsarray.isa import FORMATS, Bank, Instruction, Opcode

__all__ = ["Bursts", "ReadChannel", "WriteChannel"]

_LONG_AGO = -(1 << 40)


class Bursts:
    """How transfers are cut into bursts.

    Parameters
    ----------
    config
        The machine.
    """

    def __init__(self, config: Config) -> None:
        self._word, self._beat = config.word_bytes, config.bus_bytes
        self._longest = config.burst_bytes
        self._runs: dict[tuple[int, int], list[int]] = {}
        self._transfers: dict[tuple[int, ...], list[int]] = {}

    def lengths(self, instruction: Instruction) -> list[int]:
        """Beats of every burst of a LOAD or STORE, in order; the list is shared by its likes."""
        bank, run, start, *loops = _TRANSFER(instruction.values)
        run *= self._word if bank in _OPERAND_BANKS else 4 * self._word
        place = (run, start % 4096, *loops)
        known = self._transfers.get(place)
        if known is None:
            known = self._transfers[place] = self._cut(*place)
        return known

    def _cut(
        self, run: int, start: int, count0: int, count1: int, stride0: int, stride1: int
    ) -> list[int]:
        """The same, from the bytes of a run and where in a 4 KiB page the transfer begins."""
        word, lengths = self._word, list[int]()
        for outer in range(count0):
            address = start + outer * stride0 * word
            for _ in range(count1):
                lengths += self._run(address % 4096, run)
                address += stride1 * word
        return lengths

    def _run(self, offset: int, size: int) -> list[int]:
        """Beats of every burst of one run, by its place in a 4 KiB page and its bytes."""
        known = self._runs.get((offset, size))
        if known is None:
            known, address, left = [], offset, size
            while left:
                part = min(left, self._longest, 4096 - address % 4096)
                known.append(part // self._beat)
                address += part
                left -= part
            self._runs[offset, size] = known
        return known


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

    Members
    -------
    beats, last
        Beats granted, and the cycle of the last one.
    free
        First cycle after the last grant.
    """

    def __init__(self, latency: int, interval: int, outstanding: int) -> None:
        self.latency = latency
        self.interval = interval
        self.outstanding = outstanding
        self.beats = 0
        self.last = _LONG_AGO
        self._lasts: list[int] = []
        self.free = 0

    def earliest(self, want: int) -> int:
        """First cycle from ``want`` on in which the next burst can be granted."""
        cycle = want if want > self.free else self.free
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
        self.free = cycle + 1
        self.beats += beats
        return first

    def grant_from(self, cycle: int, bursts: Sequence[int], number: int, horizon: int) -> int:
        """Grant the burst ``number`` in a cycle, and those after it, each as early as it can be.

        Stops before a burst that would be granted after ``horizon``. Returns the number of the
        first burst that was not granted; the last grant is one cycle before :attr:`free`.
        """
        lasts, outstanding = self._lasts, self.outstanding
        interval, delay, last = self.interval, 1 + self.latency, self.last
        place, first_number, end = len(lasts) - outstanding, number, len(bursts)
        while True:
            first = cycle + delay
            if first < last + interval:
                first = last + interval
            last = first + (bursts[number] - 1) * interval
            lasts.append(last)
            place += 1
            number += 1
            cycle += 1
            free = cycle
            if place >= 0 and lasts[place] >= cycle:
                cycle = lasts[place] + 1
            if number == end or cycle > horizon:
                break
        self.last, self.free = last, free
        self.beats += sum(bursts[first_number:number])
        return number


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
        served, interval, delay = self._served, self.interval, 1 + self.latency
        place = len(responses) - self.outstanding
        for beats in lengths:
            if place >= 0 and responses[place] >= slot:
                slot = responses[place] + 1
            place += 1
            served = (served if served > slot + 2 else slot + 2) + beats * interval
            accepted = slot + 2 + beats
            if served < accepted:
                served = accepted
            response += 1
            if response < served:
                response = served
            if response < slot + delay:
                response = slot + delay
            responses.append(response)
            slot += beats
        self._served = served
        self.beats += sum(lengths)
        return slot - 1, response
