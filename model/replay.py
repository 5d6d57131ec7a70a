"""A run's bursts, one by one, through a DRAM: which come too late, and what time is enough."""

from __future__ import annotations

from collections.abc import Iterable
from math import ceil
from typing import Any

from pulsarray.errors import InputError
from pulsarray.model.transfers import Transfer, traced
from pulsarray.program import Program
from pulsarray.report.dram import Access, Dram, DramTable
from pulsarray.run import RunResult

__all__ = ["LONGEST", "replay"]

LONGEST = 4096
"""The longest latency that is tried, in cycles."""
_SLACK = 1e-6
"""Nanoseconds that are no lateness but rounding."""


def replay(
    program: Program,
    table: DramTable,
    clock_mhz: float,
    *,
    memory_latency: int,
    memory_interval: int,
) -> dict[str, Any]:
    """What a DRAM makes of a run, and the fixed times with which it is never late.

    The run is that of the machine with a memory of fixed times. Its bursts go into the DRAM when
    the machine asks for them, so that a late one makes no other later. With times under which none
    is late, cycles are exact for a machine whose memory controller hands over at these times. What
    is written is the controller's when its last beat is: it answers by itself, and holds the data
    until the DRAM has it.

    Parameters
    ----------
    program
        The program.
    table
        Of the DRAM.
    clock_mhz
        Of the machine.
    memory_latency, memory_interval
        The fixed times in cycles.

    Returns
    -------
    dict
        ``asked``, the run with these times, and ``sufficient``, the one whose times the DRAM keeps
        (None if no latency up to :data:`LONGEST` is enough). Each has ``latency``, ``interval``,
        ``cycles``, ``bursts``, ``late`` ones of those read, ``lateness_ns`` of the latest,
        ``held_ns`` (the longest that something written is held after its response), ``hits``,
        ``misses``, ``conflicts``, ``refreshes`` and ``bus_share``.

    Raises
    ------
    InputError
        If the clock is none.
    ProgramError
        If the machine would stop with an error.
    """
    if not 0.0 < clock_mhz <= 1e5:
        raise InputError(f"clock: must be megahertz above 0, at most 100,000, not {clock_mhz:g}")
    runs = _Runs(program, table, clock_mhz)
    return {
        "memory": table.name,
        "source": table.source,
        "clock_mhz": clock_mhz,
        "asked": runs.at(memory_latency, memory_interval),
        "sufficient": runs.sufficient(memory_interval),
    }


class _Runs:
    """Runs of a program with fixed times, each through the DRAM."""

    def __init__(self, program: Program, table: DramTable, clock_mhz: float) -> None:
        self._program, self._table, self._cycle_ns = program, table, 1000.0 / clock_mhz
        self._known: dict[tuple[int, int], dict[str, Any]] = {}

    def at(self, latency: int, interval: int) -> dict[str, Any]:
        """What the DRAM makes of the run with these times."""
        if (latency, interval) not in self._known:
            result, transfers = traced(
                self._program, memory_latency=latency, memory_interval=interval
            )
            self._known[latency, interval] = self._figures(result, transfers)
        return self._known[latency, interval]

    def sufficient(self, interval: int) -> dict[str, Any] | None:
        """The run with the shortest interval, then latency, under which none is late.

        Latencies between two of which one is enough are halved: it is the shortest if longer ones
        are enough as well.
        """
        least = self._program.config.bus_bytes / (self._table.bytes_per_ns * self._cycle_ns)
        beats = max(interval, ceil(least - _SLACK))
        while beats <= max(interval, ceil(4 * least)):
            if not self.at(LONGEST, beats)["late"]:
                return self._shortest(beats)
            beats += 1
        return None

    def _shortest(self, interval: int) -> dict[str, Any]:
        late, enough = 0, LONGEST
        while enough - late > 1:
            middle = (late + enough) // 2
            if self.at(middle, interval)["late"]:
                late = middle
            else:
                enough = middle
        return self.at(enough, interval)

    def _figures(self, result: RunResult, transfers: Iterable[Transfer]) -> dict[str, Any]:
        dram, bursts, late, latest, held = Dram(self._table), 0, 0, 0.0, 0.0
        for transfer in transfers:
            arrival = transfer.asked * self._cycle_ns
            served = dram.request(arrival, transfer.address, transfer.size, write=transfer.write)
            bursts += 1
            if transfer.write:
                held = max(held, served[-1].end - transfer.last * self._cycle_ns)
                continue
            lateness = self._lateness(transfer, served)
            late += lateness > _SLACK
            latest = max(latest, lateness)
        return {
            "latency": result.memory_latency,
            "interval": result.memory_interval,
            "cycles": result.cycles,
            "bursts": bursts,
            "late": late,
            "lateness_ns": round(latest, 3) if late else 0.0,
            "held_ns": round(held, 3),
            "hits": dram.hits,
            "misses": dram.misses,
            "conflicts": dram.conflicts,
            "refreshes": dram.refreshes,
            "bus_share": dram.busy / (result.cycles * self._cycle_ns),
        }

    def _lateness(self, transfer: Transfer, served: Iterable[Access]) -> float:
        """How much later than the machine takes it any byte of a burst is there, in nanoseconds."""
        beats = transfer.size // self._program.config.bus_bytes
        step = (transfer.last - transfer.first) / max(1, beats - 1)
        latest, done = -float("inf"), 0
        for access in served:
            first = done // self._program.config.bus_bytes
            done += access.size
            last = (done - 1) // self._program.config.bus_bytes
            share = min(self._program.config.bus_bytes, access.size) / access.size
            begun = access.begin + share * (access.end - access.begin)
            for when, beat in ((begun, first), (access.end, last)):
                latest = max(latest, when - (transfer.first + beat * step) * self._cycle_ns)
        return latest
