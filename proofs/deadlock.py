"""Queues and semaphores cannot deadlock by timing: every small program, in every interleaving.

``python -m proofs.deadlock`` explores all programs of up to so many instructions that
:func:`pulsarray.compiler.machine.check.check_semaphores` takes. FETCH hands out instructions in
order, one that is started takes its semaphores, and completes whenever it likes.

--instructions   longest program (4)
--units, --semaphores   how many of them programs use (2, 2)
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from pulsarray.compiler.machine.check import check_semaphores
from pulsarray.config import PRESETS, Config
from pulsarray.errors import ProgramError
from pulsarray.isa import Instruction, Opcode, Unit

__all__ = ["Item", "explore", "main", "outcomes", "programs", "stands_behind"]

_OPCODES = {Unit.LOAD: Opcode.LOAD, Unit.STORE: Opcode.STORE, Unit.VECTOR: Opcode.VECTOR}
"""An instruction of each unit that programs use."""
DEPTHS = (1, 2)
"""Queues that are tried; beside its queue each unit has a place for the next to start."""

Counts = tuple[int, ...]
Check = Callable[[Sequence[Instruction], Config], None]


@dataclass(frozen=True)
class Item:
    """An instruction: its unit, and the semaphores that it takes and signals, one bit each."""

    unit: Unit
    wait: int
    signal: int

    @property
    def instruction(self) -> Instruction:
        """As a program has it."""
        return Instruction.make(_OPCODES[self.unit], wait=self.wait, signal=self.signal)


def programs(length: int, units: int, semaphores: int) -> Iterator[tuple[Item, ...]]:
    """Every program of so many instructions whose semaphores end at zero."""
    masks = range(1 << semaphores)
    items = [Item(u, w, s) for u in list(_OPCODES)[:units] for w in masks for s in masks]
    for program in itertools.product(items, repeat=length):
        if not any(_sums(program, semaphores)):
            yield program


def _sums(program: Sequence[Item], semaphores: int) -> list[int]:
    return [
        sum((item.signal >> k & 1) - (item.wait >> k & 1) for item in program)
        for k in range(semaphores)
    ]


def stands_behind(program: Sequence[Item], semaphores: int) -> bool:
    """Whether every instruction stands behind the signals that it takes, as the assembler does."""
    counts = [0] * semaphores
    for item in program:
        counts = [count - (item.wait >> k & 1) for k, count in enumerate(counts)]
        if min(counts) < 0:
            return False
        counts = [count + (item.signal >> k & 1) for k, count in enumerate(counts)]
    return True


def outcomes(program: Sequence[Item], semaphores: int, depth: int) -> set[str]:
    """How runs of a program end, over all interleavings: ``done``, ``stuck``, or both."""
    start: tuple[int, frozenset[int], frozenset[int], Counts] = (
        0,
        frozenset(),
        frozenset(),
        (0,) * semaphores,
    )
    seen, waiting, ends = {start}, [start], set()
    while waiting:
        state = waiting.pop()
        following = list(_steps(program, depth, *state))
        if not following:
            ends.add("done" if len(state[2]) == len(program) else "stuck")
        for after in following:
            if after not in seen:
                seen.add(after)
                waiting.append(after)
    return ends


def _steps(
    program: Sequence[Item],
    depth: int,
    handed: int,
    started: frozenset[int],
    complete: frozenset[int],
    counts: Counts,
) -> Iterator[tuple[int, frozenset[int], frozenset[int], Counts]]:
    """What may happen next: one is handed out, started, or complete."""
    queued = [n for n in range(handed) if n not in started]
    if handed < len(program):
        unit = program[handed].unit
        if sum(program[n].unit == unit for n in queued) <= depth:
            yield handed + 1, started, complete, counts
    heads = {program[n].unit: n for n in reversed(queued)}
    for number in heads.values():
        left = _changed(counts, program[number].wait, -1)
        if min(left) >= 0:
            yield handed, started | {number}, complete, left
    for number in started - complete:
        more = _changed(counts, program[number].signal, 1)
        yield handed, started, complete | {number}, more


def _changed(counts: Counts, mask: int, by: int) -> Counts:
    return tuple(count + by * (mask >> k & 1) for k, count in enumerate(counts))


def explore(
    longest: int, units: int, semaphores: int, check: Check = check_semaphores
) -> tuple[int, list[str]]:
    """How many programs the check takes, and what is wrong with them.

    A run's end must not depend on timing, and no program may be stuck whose instructions stand
    behind what they wait for.
    """
    taken, wrong = 0, []
    for length, depth in itertools.product(range(1, longest + 1), DEPTHS):
        config = dataclasses.replace(PRESETS["tiny"], queue_depth=depth)
        for program in programs(length, units, semaphores):
            try:
                check([item.instruction for item in program], config)
            except ProgramError:
                continue
            taken += 1
            ends = outcomes(program, semaphores, depth)
            if len(ends) > 1:
                wrong.append(f"queues of {depth}: {program}: done or stuck, by timing")
            elif ends == {"stuck"} and stands_behind(program, semaphores):
                wrong.append(f"queues of {depth}: {program}: stuck")
    return taken, wrong


def main() -> int:
    """Explore, and print what is wrong. Exit code 1 if something is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--instructions", type=int, default=4)
    parser.add_argument("--units", type=int, default=2)
    parser.add_argument("--semaphores", type=int, default=2)
    options = parser.parse_args()
    taken, wrong = explore(options.instructions, options.units, options.semaphores)
    print("\n".join(wrong[:10]) or f"{taken} programs: none is stuck by timing or by its order")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
