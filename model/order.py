"""One order of a program's instructions that its queues and semaphores allow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pulsarray.config import SEMAPHORES
from pulsarray.errors import ProgramError
from pulsarray.isa import Instruction, Opcode, Unit
from pulsarray.model.addresses import tiles_needed
from pulsarray.model.plan import bits
from pulsarray.registers import ErrorCode

__all__ = ["in_order"]


def in_order(instructions: Sequence[Instruction]) -> Iterator[tuple[int, Instruction]]:
    """Every instruction before END with its index, each when what it waits for is there.

    A STREAM also waits until WEIGHT has read the tiles that it takes.

    Raises
    ------
    ProgramError
        If none can go on: the machine would wait for ever.
    """
    queues: list[list[tuple[int, Instruction]]] = [[] for _ in Unit]
    for index, instruction in enumerate(instructions):
        if instruction.format.unit is None:
            break
        queues[instruction.format.unit].append((index, instruction))
    for queue in queues:
        queue.reverse()
    counts, tiles, moved = [0] * SEMAPHORES, 0, True
    while moved:
        moved = False
        for queue in queues:
            while queue and _ready(queue[-1][1], counts, tiles):
                index, instruction = queue.pop()
                _count(counts, instruction)
                tiles += _tiles(instruction)
                moved = True
                yield index, instruction
    _require_empty(queues)


def _ready(instruction: Instruction, counts: list[int], tiles: int) -> bool:
    for k in bits(instruction.values[2]):
        if not counts[k]:
            return False
    return instruction.op is not Opcode.STREAM or tiles_needed(instruction) <= tiles


def _count(counts: list[int], instruction: Instruction) -> None:
    for k in bits(instruction.values[2]):
        counts[k] -= 1
    for k in bits(instruction.values[3]):
        counts[k] += 1


def _tiles(instruction: Instruction) -> int:
    """Tiles that an instruction adds to those read and not taken."""
    if instruction.op is Opcode.WEIGHT:
        return instruction["count0"] * instruction["count1"]
    return -tiles_needed(instruction) if instruction.op is Opcode.STREAM else 0


def _require_empty(queues: list[list[tuple[int, Instruction]]]) -> None:
    left = [queue[-1] for queue in queues if queue]
    if left:
        index, instruction = min(left, key=lambda item: item[0])
        text = f"instruction {index} ({instruction.text()}): waits for ever"
        raise ProgramError(ErrorCode.CYCLE_LIMIT, -1, text)
