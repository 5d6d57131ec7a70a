"""What would stop the machine, found without running a program: each instruction by itself."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pulsarray.config import SEMAPHORE_MAX, SEMAPHORES, Config
from pulsarray.errors import InputError, ProgramError, UnknownResult
from pulsarray.isa import FORMATS, Instruction, Opcode, Unit
from pulsarray.model.fields import wrong_fields
from pulsarray.model.plan import bits
from pulsarray.model.uses import MEMORY, WRITE, Use, depth, uses
from pulsarray.program import Program
from pulsarray.registers import ErrorCode

__all__ = ["check"]


def check(program: Program, memory_bytes: int) -> Sequence[Instruction]:
    """Check every instruction before END.

    Semaphores: who waits for each, and whether one that nobody waits for overflows; the others'
    counts depend on time.

    Parameters
    ----------
    program
        The program.
    memory_bytes
        Size of memory.

    Returns
    -------
    The instructions before END.

    Raises
    ------
    ProgramError
        Of the first instruction that the machine would stop on, with its index and text, the
        field, the rule and the value; it may stop on another before it comes there.
    UnknownResult
        If two units wait for one semaphore.
    """
    instructions = _instructions(program)
    passed: set[tuple[int, ...]] = set()
    for index, instruction in enumerate(instructions):
        if instruction.deed in passed:
            continue
        for field, rule in wrong_fields(instruction, program.config):
            text = f"{field} must be {rule}, not {instruction[field]}"
            raise _error(ErrorCode.BAD_FIELD, index, instruction, text)
        _check_words(index, instruction, memory_bytes, program.config)
        passed.add(instruction.deed)
    _check_semaphores(instructions)
    return instructions


def _error(code: ErrorCode, index: int, instruction: Instruction, text: str) -> ProgramError:
    message = f"instruction {index} ({instruction.text()}): {text}"
    return ProgramError(code, index, message, ahead=True)


def _instructions(program: Program) -> Sequence[Instruction]:
    """Everything before END."""
    try:
        instructions = program.instructions
    except InputError:
        raise _undecodable(program.code) from None
    end = next(i for i, instruction in enumerate(instructions) if instruction.op is Opcode.END)
    return instructions[:end]


def _undecodable(code: bytes) -> ProgramError:
    forms = {int(op): form for op, form in FORMATS.items()}
    offset = index = 0
    while offset < len(code):
        form = forms.get(code[offset])
        units = code[offset + 1] if offset + 1 < len(code) else 0
        if form is None or units != form.units:
            text = f"instruction {index}: no operation {code[offset]:#04x} of {units} units"
            return ProgramError(ErrorCode.ILLEGAL_OPCODE, index, text, ahead=True)
        offset += form.bytes
        index += 1
    text = f"{len(code)} bytes of program without END"
    return ProgramError(ErrorCode.PROGRAM_END, -1, text, ahead=True)


def _check_words(index: int, instruction: Instruction, memory_bytes: int, config: Config) -> None:
    """Every word that the instruction touches is in its bank, or in memory."""
    for use in uses(instruction, config):
        words = depth(use.bank, config, memory_bytes)
        if use.words.within(words) or (rows := use.rows()).max(initial=0) < words:
            continue
        raise _outside(index, instruction, use, rows, memory_bytes, config)


def _outside(
    index: int,
    instruction: Instruction,
    use: Use,
    rows: npt.NDArray[np.int64],
    memory_bytes: int,
    config: Config,
) -> ProgramError:
    if use.bank == MEMORY:
        code = ErrorCode.AXI_WRITE if use.access & WRITE else ErrorCode.AXI_READ
        last = (int(rows.max()) + 1) * config.word_bytes - 1
        text = f"address must stay within memory's {memory_bytes} bytes, not reach {last:#x}"
        return _error(code, index, instruction, text)
    words = depth(use.bank, config, memory_bytes)
    first = rows[rows >= words][0]
    if use.field == "parameter":  # it counts rows of four
        words, first = words // 4, first // 4
    text = f"{use.field} must stay within the bank's words 0 to {words - 1}, not reach {first}"
    return _error(ErrorCode.ADDRESS, index, instruction, text)


def _check_semaphores(instructions: Sequence[Instruction]) -> None:
    waiter: list[Unit | None] = [None] * SEMAPHORES
    for index, instruction in enumerate(instructions):
        unit = instruction.format.unit
        assert unit is not None
        for k in bits(instruction.values[2]):
            other, waiter[k] = waiter[k], unit
            if other not in (None, unit):
                assert other is not None
                text = f"wait must name semaphores of one unit, not {k}, which {other.name} takes"
                raise UnknownResult(index, f"instruction {index} ({instruction.text()}): {text}")
    counts = [0] * SEMAPHORES
    for index, instruction in enumerate(instructions):
        for k in bits(instruction.values[3]):
            counts[k] += waiter[k] is None
            if counts[k] > SEMAPHORE_MAX:
                text = f"semaphore {k} must count at most {SEMAPHORE_MAX}, and nobody waits for it"
                raise _error(ErrorCode.SEMAPHORE, index, instruction, text)
