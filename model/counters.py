"""Performance counters from the times of a run (docs/machine.md, section 8)."""

from __future__ import annotations

from collections.abc import Sequence

from pulsarray.isa import Unit
from pulsarray.model.plan import Step
from pulsarray.registers import UNIT_STATES

__all__ = ["count"]


def count(
    cycles: int,
    queues: Sequence[Sequence[Step]],
    *,
    fetch: tuple[int, int, int],
    waits: Sequence[int],
    beats: tuple[int, int],
) -> dict[str, int]:
    """Every counter by name.

    Parameters
    ----------
    cycles
        Cycles of the run.
    queues
        Instructions with their times, by unit.
    fetch
        Units popped, cycles that instructions waited for room, and the cycle END was dispatched.
    waits
        Cycles waited for each semaphore.
    beats
        Read and write beats.
    """
    counters = {"cycles": cycles}
    for unit in Unit:
        figures = _unit_counts(cycles, queues[unit])
        for state, value in zip(UNIT_STATES, figures, strict=True):
            counters[f"{unit.name.lower()}_{state}"] = value
    popped, queued, end = fetch
    counters |= {
        "fetch_busy": popped,
        "fetch_queue": queued,
        "fetch_memory": end - popped - queued,
        "fetch_idle": cycles - end,
    }
    counters |= {f"semaphore_{k}_wait": value for k, value in enumerate(waits)}
    return counters | {"read_beats": beats[0], "write_beats": beats[1]}


def _unit_counts(cycles: int, steps: Sequence[Step]) -> tuple[int, int, int, int, int, int]:
    front = work = wait = start = drain = 0
    end = idle_from = -1
    for step in steps:
        queue, begin = step.queue, step.start
        if queue < idle_from:
            idle_from = queue
        if idle_from > end:
            drain += idle_from - end
        if begin > end:
            start += 1
            wait += begin - (queue if queue > end else end) - 1
        end = step.end
        front += end - begin
        work += step.work
        idle_from = step.complete
    if idle_from > end:
        drain += idle_from - end
    idle = cycles - front - wait - start - drain
    return work, front - work, wait, start, drain, idle
