"""Static checks of a finished program before it is written."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Collection, Sequence

from pulsarray.config import SEMAPHORE_MAX, SEMAPHORES, Config
from pulsarray.errors import ProgramError
from pulsarray.isa import Bank, Instruction, Opcode, Unit
from pulsarray.model.checks import check as check_instructions
from pulsarray.model.loops import Nest
from pulsarray.model.plan import bits
from pulsarray.model.races import ordered
from pulsarray.program import Program
from pulsarray.registers import ErrorCode

__all__ = ["check", "check_semaphores"]

_READABLE = ("input", "weight", "constant", "intermediate", "state")
_WRITABLE = ("output", "intermediate", "state")
_BEHIND = 1 << 40
"""An address that is behind all."""


def check(program: Program) -> None:
    """Refuse a program that the machine would stop on, or that leaves its tensors.

    Checked: all that the model checks of each instruction, every transfer inside one tensor of the
    right role, semaphores in balance at the end and never above their limit; then that every word
    that is read has been written, and all that touch a word are in order. Deadlocks and port
    conflicts have been found before, by the timing model as the program was assembled.

    Raises
    ------
    ProgramError
        With the index of the instruction to blame.
    """
    regions = {
        opcode: _regions(program, roles)
        for opcode, roles in ((Opcode.LOAD, _READABLE), (Opcode.STORE, _WRITABLE))
    }
    instructions = check_instructions(program, program.memory.size)
    for index, instruction in enumerate(instructions):
        if instruction.op in regions:
            _check_transfer(index, instruction, regions[instruction.op], program.config)
    check_semaphores(program.instructions, program.config)
    ordered(program, instructions, program.memory.size)


def _regions(program: Program, roles: Collection[str]) -> list[tuple[int, int]]:
    """First byte of each tensor of these roles, and the one behind its last, in order.

    Tensors share no byte but where one is another in whole.
    """
    tensors = [tensor for tensor in program.tensors if tensor.role in roles]
    return sorted({(t.address, t.address + t.bytes(program.config)) for t in tensors})


def _check_transfer(
    index: int, instruction: Instruction, regions: Sequence[tuple[int, int]], config: Config
) -> None:
    wide = Bank.ACCUMULATOR <= instruction["bank"] <= Bank.PARAMETER
    word = config.acc_word_bytes if wide else config.word_bytes
    loops = [
        (instruction[f"count{k}"], config.word_bytes * instruction[f"memory_stride{k}"])
        for k in (0, 1)
    ]
    counts, strides = zip(*loops, strict=True)
    low, last = Nest(instruction["address"], counts, strides).span()
    high = last + instruction["run"] * word
    place = bisect_right(regions, (low, _BEHIND))
    if place and high <= regions[place - 1][1]:
        return
    raise ProgramError(
        ErrorCode.ADDRESS,
        index,
        f"instruction {index}: bytes {low:#x}..{high - 1:#x} are not inside one tensor that "
        f"{instruction.op.name} may use: {instruction.text()}",
    )


def check_semaphores(instructions: Sequence[Instruction], config: Config) -> None:
    """Refuse semaphores that two units wait for, that may overflow, or that do not end at zero.

    The bound on a count holds whatever the memory's speed: when an instruction has been
    dispatched, all but the last few before it in each unit (those in queue and IR) have started,
    so a semaphore counts at most the signals of everything dispatched less what those have taken.

    Raises
    ------
    ProgramError
        SEMAPHORE, with the index of the instruction to blame.
    """
    lag = config.queue_depth + 1
    waiting: dict[Unit, deque[int]] = {unit: deque() for unit in Unit}
    waiter: dict[int, Unit] = {}
    counts = [0] * SEMAPHORES
    for index, instruction in enumerate(instructions):
        unit, wait, signal = instruction.format.unit, *instruction.values[2:4]
        if unit is None:
            continue
        for k in bits(wait):
            if waiter.setdefault(k, unit) != unit:
                _refuse(index, f"semaphore {k} is waited for by two units")
        queue = waiting[unit]
        queue.append(wait)
        if len(queue) > lag:
            for k in bits(queue.popleft()):
                counts[k] -= 1
        for k in bits(signal):
            counts[k] += 1
            if counts[k] > SEMAPHORE_MAX:
                _refuse(index, f"semaphore {k} may count more than {SEMAPHORE_MAX}")
    for wait in (wait for queue in waiting.values() for wait in queue):
        for k in bits(wait):
            counts[k] -= 1
    for k, count in enumerate(counts):
        if count:
            _refuse(len(instructions) - 1, f"semaphore {k} ends at {count} instead of 0")


def _refuse(index: int, text: str) -> None:
    raise ProgramError(ErrorCode.SEMAPHORE, index, f"instruction {index}: {text}")
