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
    dim: int,
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
    dim
        D.
    fetch
        Units popped, cycles that instructions waited for room, and the cycle END was dispatched.
    waits
        Cycles waited for each semaphore.
    beats
        Read and write beats.
    """
    counters = {"cycles": cycles}
    for unit in Unit:
        figures = _unit_counts(cycles, queues[unit], unit, dim)
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


def _unit_counts(
    cycles: int, steps: Sequence[Step], unit: Unit, dim: int
) -> tuple[int, int, int, int, int, int]:
    front = work = wait = start = drain = 0
    end = -1
    for number, step in enumerate(steps):
        if step.start > end:
            start += 1
            occupied = step.queue if step.queue > end else end
            wait += step.start - occupied - 1
        front += step.end - step.start
        work += _work(step, unit, dim)
        end = step.end
        idle_from = step.complete
        if number + 1 < len(steps) and steps[number + 1].queue < idle_from:
            idle_from = steps[number + 1].queue
        if idle_from > end:
            drain += idle_from - end
    idle = cycles - front - wait - start - drain
    return work, front - work, wait, start, drain, idle


def _work(step: Step, unit: Unit, dim: int) -> int:
    """Cycles of the front in which something is issued."""
    match unit:
        case Unit.LOAD:
            return len(step.bursts or ())
        case Unit.STORE:
            return sum(step.bursts or ())
        case Unit.WEIGHT:
            return step.tiles * dim
        case Unit.STREAM:
            return step.tiles * step.words
        case Unit.VECTOR:
            return step.end - step.start
