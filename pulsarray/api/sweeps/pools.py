"""Where points are measured: in this process, in a pool of processes, on a Dask cluster."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from importlib import import_module
from multiprocessing import get_context, parent_process
from typing import Any, TypeVar

from pulsarray.collector import collect_rarely
from pulsarray.errors import CheckFailed, InputError
from pulsarray.extras import missing_package

__all__ = ["on_dask", "on_processes", "processors"]

Task = TypeVar("Task")
Result = TypeVar("Result")
_AHEAD = 3
"""Tasks that wait for each worker."""


def processors() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0))


def on_processes(
    function: Callable[[Task], Result],
    tasks: Iterable[Task],
    workers: int,
    name: Callable[[Task], str],
) -> Iterator[Result]:
    """Results as they come; tasks are taken as there is room.

    Raises
    ------
    CheckFailed
        If a worker dies; the text names what the workers were at.
    """
    if workers == 1:
        yield from map(function, tasks)
        return
    pool = ProcessPoolExecutor(workers, get_context("spawn"), initializer=_begin)
    try:
        yield from _in_turn(pool, function, tasks, workers, name)
    except BaseException:
        _stop(pool)
        raise
    pool.shutdown()


def _in_turn(
    pool: ProcessPoolExecutor,
    function: Callable[[Task], Result],
    tasks: Iterable[Task],
    workers: int,
    name: Callable[[Task], str],
) -> Iterator[Result]:
    waiting: dict[Future[Result], Task] = {}
    left = iter(tasks)
    while True:
        for task in left:
            try:
                waiting[pool.submit(function, task)] = task
            except BrokenProcessPool:
                raise _died(waiting.values(), name) from None
            if len(waiting) >= _AHEAD * workers:
                break
        if not waiting:
            return
        for future in wait(waiting, return_when=FIRST_COMPLETED).done:
            try:
                result = future.result()
            except BrokenProcessPool:
                raise _died(waiting.values(), name) from None
            del waiting[future]
            yield result


def _died(tasks: Iterable[Task], name: Callable[[Task], str]) -> CheckFailed:
    """What to say of a worker that is gone."""
    names = [name(task) for task in tasks]
    return CheckFailed(
        "sweep: a worker died, perhaps for want of memory (fewer --workers need less), at one of: "
        f"{'; '.join(names)}; what is done is kept, the same command goes on from there"
    )


def _begin() -> None:
    """Set a worker up; Ctrl-C is for the process that leads."""
    collect_rarely()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_leader, daemon=True).start()


def _end_with_leader() -> None:
    """End this worker when the process that leads was killed, which stops nobody itself."""
    leader = parent_process()
    assert leader is not None
    leader.join()
    os._exit(1)


def _stop(pool: ProcessPoolExecutor) -> None:
    """End the workers now, whatever they are at."""
    processes = list((pool._processes or {}).values())
    pool.shutdown(wait=False, cancel_futures=True)
    for process in processes:
        with suppress(ProcessLookupError):
            process.terminate()
    for process in processes:
        process.join()


def on_dask(
    function: Callable[[Task], Result], tasks: Iterable[Task], address: str
) -> Iterator[Result]:
    """Results from the workers of a Dask cluster as they come.

    Raises
    ------
    ToolMissing
        If ``distributed`` is not installed.
    InputError
        If there is no scheduler at the address.
    """
    try:
        distributed: Any = import_module("distributed")
    except ImportError:
        raise missing_package("--dask", "distributed") from None
    try:
        client = distributed.Client(address, timeout=10, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        raise InputError(f"--dask: no scheduler at {address!r}: {error}") from None
    with client:
        left = iter(tasks)
        running = distributed.as_completed([], with_results=True, loop=client.loop)
        room = _AHEAD * max(1, len(client.scheduler_info()["workers"]))
        for _, task in zip(range(room), left, strict=False):
            running.add(client.submit(function, task, pure=False))
        for _, result in running:
            yield result
            for task in left:
                running.add(client.submit(function, task, pure=False))
                break
