"""A cocotb module beside a bench's: forks the simulation before the first test, once a mutant.

So nothing is started or imported again, and a mutant costs no more than the cycles up to the first
test that fails. The environment says what to do: see :func:`settings`.
"""

from __future__ import annotations

import json
import os
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cocotb

__all__ = ["SURVIVED", "settings"]

_VARIABLE = "PULSARRAY_MUTANTS"
_SLOWER = 3
"""A mutant that takes so many times the processor's time of the block itself hangs."""
SURVIVED = 42
"""How the process of a mutant ends that no test noticed."""


def settings(mutants: int, jobs: int, results: str) -> dict[str, str]:
    """Environment for a simulation with mutants 1 .. ``mutants``, ``jobs`` at a time.

    The file ``results`` gets a list of those that no test noticed; 0 is the block itself.
    """
    chosen = {"mutants": mutants, "jobs": jobs, "results": results}
    return {_VARIABLE: json.dumps(chosen), "COCOTB_MAX_FAILURES": "1"}


@cocotb.test(stage=-1)
async def every_mutant(dut: Any) -> None:
    """In the first process all mutants, each in one of its own; in those the bench follows."""
    chosen = json.loads(os.environ[_VARIABLE])
    survivors, running, limit = [], {}, resource.RLIM_INFINITY
    for mutant in range(chosen["mutants"] + 1):
        child = os.fork()
        if not child:
            _begin(limit)
            dut.mutant.value = mutant
            return
        running[child] = mutant
        for number, survives, seconds in _ended(running, chosen["jobs"] if mutant else 1):
            survivors += [number] * survives
            limit = limit if number else 1 + int(_SLOWER * seconds)
    survivors += [number for number, survives, _ in _ended(running, 1) if survives]
    Path(chosen["results"]).write_text(json.dumps(sorted(survivors)), encoding="utf-8")
    os._exit(0)


@cocotb.test(stage=1)
async def nothing_noticed(_dut: Any) -> None:
    """Behind all tests of the bench, if they have passed."""
    os._exit(SURVIVED)


def _begin(limit: int) -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))
    for stream in (1, 2):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream)


def _ended(running: dict[int, int], most: int) -> Iterator[tuple[int, bool, float]]:
    """Wait until fewer than ``most`` run: mutant, whether it survived, its processor's time."""
    while len(running) >= most and running:
        child, status, used = os.wait4(-1, 0)
        yield running.pop(child), os.waitstatus_to_exitcode(status) == SURVIVED, used.ru_utime
