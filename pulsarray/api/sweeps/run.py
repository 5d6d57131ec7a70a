"""Many designs: each compiled and timed exactly, on all processors, kept as they come."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pulsarray.api.machine import Machine
from pulsarray.api.progress import Working, quiet
from pulsarray.api.sweeps.designs import Sweep
from pulsarray.api.sweeps.pools import on_dask, on_processes, processors
from pulsarray.api.sweeps.rows import Row, key_of, measured, point_keys
from pulsarray.api.sweeps.space import Point, Space
from pulsarray.api.sweeps.store import Store
from pulsarray.api.sweeps.values import Value, sizes_of
from pulsarray.api.sweeps.works import Work, work_of
from pulsarray.config import DEFAULT_CONFIG
from pulsarray.errors import InputError
from pulsarray.report.energy_table import EnergyTable, load_table

__all__ = ["EFFORT", "Task", "run_task", "sweep", "sweep_space"]

EFFORT = 4000
"""Instructions that the search of a sweep may look at: an eighth of what ``compile`` spends."""


@dataclass(frozen=True)
class Task:
    """A point for a worker.

    Parameters
    ----------
    point, work
        What is run on which design.
    effort
        Of the search.
    asked
        The rows that are not there yet, without their costs.
    energies
        Energies of events.
    """

    point: Point
    work: Work
    effort: int
    asked: Sequence[Row]
    energies: EnergyTable

    @property
    def name(self) -> str:
        """In a few words."""
        config = self.point.design.config
        return f"{self.work.name} on {config.label if config else 'no machine'}"


def run_task(task: Task) -> list[Row]:
    """Rows with their costs."""
    return measured(task.point, task.work, task.effort, list(task.asked), task.energies)


def sweep(
    networks: str | Path | Iterable[str | Path],
    config: Machine | Sequence[Machine] = DEFAULT_CONFIG,
    *,
    batch: int | Sequence[int] = 1,
    memory_latency: int | Sequence[int] = 64,
    memory_interval: int | Sequence[int] = 1,
    effort: int = EFFORT,
    by_layer: bool = False,
    calibrate: str | Path | None = None,
    energy_table: str | Path | None = None,
    file: str | Path | None = None,
    workers: int | None = None,
    dask: str | None = None,
    allow_many: bool = False,
    working: Working = quiet,
    **settings: Value | Sequence[Value],
) -> Sweep:
    """Exact costs of every combination.

    Scripts that call it need ``if __name__ == "__main__":``, unless ``workers`` is 1: processes
    import the script again.

    Parameters
    ----------
    networks
        As :func:`pulsarray.load` takes them by text; ``gemm:MxKxN`` with lists or ranges as sizes
        (``gemm:64..512*2x256x256,512``); a ``.csv`` of layers as SCALE-Sim takes it.
    config, settings
        Machines to start from, and parameters with the values that they take. ``bus_bits`` keeps
        its share of a word where ``dim`` changes, unless it is set.
    batch, memory_latency, memory_interval
        Samples of a run, cycles from an address to its first beat, cycles a beat.
    effort
        Instructions that the search for a fast program may look at.
    by_layer
        Compile each product of a network alone, and sum up: quick, without what lies between.
    calibrate
        File of samples, for a network of real numbers from a file.
    energy_table
        A table of energies per event that comes along (``"horowitz45"``, the default,
        ``"stillmaker22"``, ``"jouppi7"``), or a TOML file of one.
    file
        ``.csv`` or ``.parquet`` to keep rows in; rows that it has are not made again.
    workers
        Processes; as many as there are processors if not given.
    dask
        Address of a Dask scheduler, whose workers are used instead.
    allow_many
        Whether more than 100,000 points are meant.
    working
        Is told what goes on.

    Raises
    ------
    InputError
        If something is unknown or does not fit, too many points are asked for, or the file cannot
        be written.
    CheckFailed
        If a worker dies.
    """
    texts = [networks] if isinstance(networks, str | Path) else networks
    machines = config if isinstance(config, list | tuple) else [config]
    space = Space(
        works=[size for text in texts for size in sizes_of(str(text))],
        machines=machines,  # type: ignore[arg-type]
        settings={name: _listed(value) for name, value in settings.items()},
        batches=_listed(batch),
        latencies=_listed(memory_latency),
        intervals=_listed(memory_interval),
    )
    return sweep_space(
        space,
        effort=effort,
        by_layer=by_layer,
        calibrate=calibrate,
        energy_table=energy_table,
        file=None if file is None else Path(file),
        workers=workers,
        dask=dask,
        allow_many=allow_many,
        working=working,
    )


def _listed(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, list | tuple | range) else (value,)


def sweep_space(
    space: Space,
    *,
    effort: int = EFFORT,
    by_layer: bool = False,
    calibrate: str | Path | None = None,
    energy_table: str | Path | None = None,
    file: Path | None = None,
    workers: int | None = None,
    dask: str | None = None,
    allow_many: bool = False,
    working: Working = quiet,
) -> Sweep:
    """Exact costs of every point of a space: see :func:`sweep`."""
    space.require_size(allow_many)
    _require_machine(space)
    energies = load_table(energy_table)
    with working("reading networks"):
        works = {text: work_of(text, by_layer, calibrate) for text in space.works}
    with Store(file) as store:
        wanted = partial(_tasks, space, works, effort, by_layer, energies)
        points = [key_of(row) for task in wanted(set()) for row in task.asked]
        left = len(points) - len(store.done & set(points))
        if dask is None:
            least = min(workers or processors(), max(left, 1))
            results = on_processes(run_task, wanted(store.done), least, lambda task: task.name)
        else:
            results = on_dask(run_task, wanted(store.done), dask)
        with working(f"sweep of {space.size:,} points") as work:
            begin, made = time.monotonic(), 0
            for rows in results:
                store.add(rows)
                made += len(rows)
                work.advance(made, left, _note(made, left, time.monotonic() - begin))
        by_key = {key_of(row): row for row in store.rows}
    return Sweep([by_key[key] for key in points])


def _require_machine(space: Space) -> None:
    """Check that there is a machine at all.

    Raises
    ------
    InputError
        If every design breaks a rule.
    """
    refusal = ""
    for design in space.designs():
        if design.config is not None:
            return
        refusal = refusal or design.refusal
    raise InputError(f"sweep: no design is a machine; the first: {refusal}")


def _tasks(
    space: Space,
    works: Mapping[str, Work],
    effort: int,
    by_layer: bool,
    energies: EnergyTable,
    done: set[tuple[str, ...]],
) -> Iterator[Task]:
    """Points of which a row is not there yet."""
    for point in space.points():
        work = works[point.work]
        asked = [
            row
            for row in point_keys(point, work, effort, by_layer, energies)
            if key_of(row) not in done
        ]
        if asked:
            yield Task(point, work, effort, asked, energies)


def _note(made: int, left: int, seconds: float) -> str:
    """How far it is, and how long the rest may take."""
    rest = round(seconds / made * (left - made))
    hours, minutes = divmod(rest // 60, 60)
    return f"{made:,} of {left:,}, {hours}:{minutes:02d}:{rest % 60:02d} left"
