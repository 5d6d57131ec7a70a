"""One order of a program's instructions that its queues and semaphores allow."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

from pulsarray.config import SEMAPHORES
from pulsarray.errors import ProgramError
from pulsarray.isa import Instruction, Opcode, StreamFlag, Unit
from pulsarray.program import Program
from pulsarray.registers import ErrorCode

__all__ = ["in_order"]


def in_order(program: Program) -> Iterator[Instruction]:
    """Every instruction but END, each when what it waits for is there.

    Raises
    ------
    ProgramError
        If none can go on: the machine would wait for ever.
    """
    queues: dict[Unit, list[tuple[int, Instruction]]] = {unit: [] for unit in Unit}
    for index, instruction in enumerate(program.instructions):
        if instruction.op is Opcode.END:
            break
        unit = instruction.format.unit
        assert unit is not None
        queues[unit].append((index, instruction))
    for queue in queues.values():
        queue.reverse()
    counts, tiles, moved = [0] * SEMAPHORES, 0, True
    while moved:
        moved = False
        for unit, queue in queues.items():
            while queue and _can(queue[-1][1], counts, tiles):
                instruction = queue.pop()[1]
                _change(counts, instruction["wait"], -1)
                _change(counts, instruction["signal"], 1)
                if unit is Unit.WEIGHT:
                    tiles += instruction["count0"] * instruction["count1"]
                elif unit is Unit.STREAM:
                    tiles -= _needed_tiles(instruction)
                moved = True
                yield instruction
    left = [queue[-1] for queue in queues.values() if queue]
    if left:
        index, instruction = min(left, key=lambda item: item[0])
        raise ProgramError(
            ErrorCode.CYCLE_LIMIT,
            index,
            f"instruction {index} waits for ever: {instruction.text()}",
        )


def _can(instruction: Instruction, counts: list[int], tiles: int) -> bool:
    waits = instruction["wait"]
    if any(waits >> k & 1 and not counts[k] for k in range(SEMAPHORES)):
        return False
    return instruction.op is not Opcode.STREAM or _needed_tiles(instruction) <= tiles


def _change(counts: list[int], mask: int, by: int) -> None:
    for k in range(SEMAPHORES):
        if mask >> k & 1:
            counts[k] += by


def _needed_tiles(instruction: Instruction) -> int:
    """Passes that take a tile."""
    if instruction["flags"] & StreamFlag.KEEP:
        return 0
    return prod(instruction[f"count{level}"] for level in range(5 - instruction["inner"]))
